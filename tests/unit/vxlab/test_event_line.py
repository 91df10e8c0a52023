"""The text form of an event record."""

from __future__ import annotations

import pytest

from vtep.events import DELIVERED, DROPPED, FLOODED, SENT, Event
from vxlab.cli.watch import event_line

REMOTE = "192.0.2.12"


def line(decision: str, why: str, failed: tuple[tuple[str, str], ...] = ()) -> str:
    event = Event(0.0, decision, why, vni=10, vlan=1, remote=REMOTE, failed=failed)
    return event_line(event.as_json("hv1", 1.5, False))


def test_a_line_in_full() -> None:
    assert line(SENT, "static") == f"1.500000 hv1 sent vni 10 vlan 1 -> {REMOTE} (static)"


@pytest.mark.parametrize(
    ("decision", "why", "arrow"),
    [
        (SENT, "known_unicast", "->"),
        (DELIVERED, "unicast", "<-"),
        (DROPPED, "unknown_vni", "<-"),
        (DROPPED, "port_down", "<-"),
        (DROPPED, "underlay_busy", "->"),
        (DROPPED, "underlay_unreachable", "->"),
    ],
)
def test_the_arrow_is_the_direction_of_the_packet(decision: str, why: str, arrow: str) -> None:
    assert f" {arrow} {REMOTE} " in line(decision, why)


def test_failed_copies_are_at_the_end() -> None:
    failed = (("192.0.2.13", "underlay_unreachable"), ("192.0.2.14", "underlay_busy"))
    assert line(FLOODED, "broadcast", failed).endswith(
        "(broadcast) failed: 192.0.2.13 underlay_unreachable, 192.0.2.14 underlay_busy"
    )
