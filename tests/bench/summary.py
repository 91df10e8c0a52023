"""Medians, ratios, and a search for the highest rate without loss. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

__all__ = ["highest_without_loss", "median", "percentile", "ratio"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile of the values by nearest rank; ValueError if there are no values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def ratio(value: float | None, peer: float | None) -> float | None:
    """value / peer; None if either is missing or the peer is zero."""
    if value is None or not peer:
        return None
    return value / peer


def highest_without_loss(lossless: Callable[[float], bool], first: float, trials: int) -> float:
    """The highest rate without loss, found by trials as in RFC 2544 section 26.1.

    Starting with `first`, the rate is doubled or halved until one rate passes and one fails; then
    the interval is bisected. The result is 0 if no trial passed. The search does not start from the
    rate at full load, because an overloaded path may deliver a hundredth of what it could.
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
