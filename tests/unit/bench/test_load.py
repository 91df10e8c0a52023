"""When a path has sustained a load."""

from __future__ import annotations

import pytest

from tests.bench.load import Trial


@pytest.mark.parametrize(
    ("offered", "arrived", "lost", "kept_up"),
    [
        (1000, 1000, 0, True),
        (1000, 995, 0, True),  # the rest was still in transit
        (1000, 999, 1, False),
        (1000, 950, 0, False),  # nothing lost yet: the rest is in a queue
    ],
)
def test_a_load_is_sustained_if_nothing_is_lost_and_no_queue_grows(
    offered: int, arrived: int, lost: int, kept_up: bool
) -> None:
    assert Trial(offered, arrived, lost, 1.0).kept_up is kept_up


def test_a_rate_counts_packets_that_arrived() -> None:
    assert Trial(1000, 600, 0, 2.0).pps == 300
