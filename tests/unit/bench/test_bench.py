"""The bench's calculations: medians, ratios, the search, the goals, the page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench import report
from tests.bench.goals import GOALS, Goal
from tests.bench.summary import highest_without_loss, percentile, ratio


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 5), (99, 10), (100, 10), (10, 1), (1, 1), (91, 10)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: int) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == expected


def test_a_percentile_of_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_ratio_is_none_if_a_value_is_missing_or_the_peer_is_zero() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is ratio(3.0, None) is ratio(3.0, 0.0) is None


@pytest.mark.parametrize("first", [10.0, 640.0, 100_000.0])
@pytest.mark.parametrize("limit", [70.0, 333.0, 9_999.0])
def test_the_search_ends_just_below_the_rate_at_which_packets_are_lost(
    limit: float, first: float
) -> None:
    tried: list[float] = []

    def lossless(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    found = highest_without_loss(lossless, first, trials=24)
    assert limit / 1.01 < found <= limit
    assert len(tried) == 24


def test_the_search_returns_zero_if_every_rate_loses_packets() -> None:
    assert highest_without_loss(lambda rate: False, 1000.0, trials=8) == 0


def figures() -> dict[str, Any]:
    ways = {
        "nothing": {
            "small_flat_out_pps": 100_000.0,
            "small_flat_out_lost": 0,
            "tcp_1_out_gbit_s": 10.0,
        },
        "kernel": {
            "small_flat_out_pps": 50_000.0,
            "small_flat_out_lost": 0,
            "tcp_1_out_gbit_s": 9.0,
            "rtt_median_us": 20.0,
        },
        "ebpf": {
            "small_flat_out_pps": 90_000.0,
            "small_flat_out_lost": 7,
            "small_searched_pps": 80_000.0,
            "tcp_1_out_gbit_s": 9.9,
            "rtt_median_us": 13.0,
        },
    }
    return {"ways": ways, "labs": {"100": {"ready_s": 14.0, "bare_s": 10.0}}, "machine": {
        "cpus": 2, "memory_gib": 4, "kernel": "6.1", "python": "3.11", "architecture": "x86_64",
    }}  # fmt: skip


def met(label: str) -> bool | None:
    (goal,) = [goal for goal in GOALS if goal.label == label]
    return goal.met(figures())


def test_goals_are_met_missed_or_not_measured() -> None:
    assert met("eBPF / kernel vxlan: small packets") is True  # 1.6
    assert met("eBPF / kernel vxlan: round trip") is False  # 0.65
    assert met("eBPF / no encapsulation: small packets") is False  # 0.8
    assert met("100 hypervisors: start time / bare Mininet") is True  # 1.4
    assert met("Python: round trip, ms") is None


def test_a_value_equal_to_the_bound_meets_the_goal() -> None:
    assert Goal("", lambda found: 1.5, 1.5, least=True).met({}) is True
    assert Goal("", lambda found: 1.5, 1.5, least=False).met({}) is True


def test_the_page_shows_figures_with_their_ratios_and_every_goal() -> None:
    page = report.page(figures())
    assert "80,000 (1.60, 0.80)" in page
    assert all(goal.label in page for goal in GOALS)
    assert page.count("not measured") >= 5
