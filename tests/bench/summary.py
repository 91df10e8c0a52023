"""Medians, ratios, and a search for the highest rate without loss. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

__all__ = ["highest_without_loss", "median", "percentile", "ratio"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed (nearest rank); ValueError for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def ratio(value: float | None, peer: float | None) -> float | None:
    """A figure by its peer's; None where either is missing or the peer is zero."""
    if value is None or not peer:
        return None
    return value / peer


def highest_without_loss(lossless: Callable[[float], bool], first: float, trials: int) -> float:
    """The highest rate that is passed without loss, as RFC 2544 section 26.1 looks for it.

    From a first rate up or down by twos until one passes and one does not, then by bisection; 0 if
    none of so many trials passed. How many are lost flat out says little of that rate: a path may
    carry a hundredth of what it could when it is flooded.
    """
    low, high, rate = 0.0, math.inf, first
    for _ in range(trials):
        if lossless(rate):
            low = rate
        else:
            high = rate
        if high == math.inf:
            rate = 2 * low
        else:
            rate = high / 2 if not low else (low + high) / 2
    return low
