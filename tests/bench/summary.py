"""Medians, ratios, and a search for the highest rate without loss. Pure."""

from __future__ import annotations

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


def highest_without_loss(
    lossless: Callable[[float], bool], low: float, high: float, steps: int
) -> float:
    """Bisect for the highest rate that is passed without loss, as RFC 2544 section 26.1 does.

    low: a rate that is known to pass, or 0; high: one that is not tried above. steps: how many
    trials at most.
    """
    for _ in range(steps):
        middle = (low + high) / 2
        if lossless(middle):
            low = middle
        else:
            high = middle
    return low
