"""What is reported and counted if an effect cannot be carried out: each frame has one fate."""

from __future__ import annotations

import pytest

from tests.support.frames import A, B, arp_reply, arp_request, plain, tcp
from vtep.constants import FLAG_VNI_VALID
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Decision, PortId, ToPort, ToUnderlay
from vtep.events import Event
from vtep.options import Options
from vtep.reporting import Reporter
from vtep.segments import SegmentSpec

TRUNK, REMOTE = PortId(0), "192.0.2.12"
REMOTES = (REMOTE, "192.0.2.13", "192.0.2.14")
BUSY, UNREACHABLE = DropReason.UNDERLAY_BUSY, DropReason.UNDERLAY_UNREACHABLE
Results = dict[str, DropReason]  # the reason why each destination fails; "" for the port


class Watched:
    """A core with an observer. Nothing is sent; a test says which destinations fail."""

    def __init__(self, *remotes: str, suppress_arp: bool = False) -> None:
        self.core = Core(Options(local="192.0.2.11", mtu=1500))
        group = None if remotes else "239.1.1.10"
        spec = SegmentSpec(10, TRUNK, 1, group, remotes, suppress_arp=suppress_arp)
        self.core.add_segment(spec, 0.0)
        self.counters = self.core.segments.by_vni[10].counters
        self.events: list[Event] = []
        self.reporter = Reporter(self.core.watch)
        self.reporter.subscribe(self.events.append)

    def from_port(self, frame: bytes, results: Results | None = None) -> None:
        """Process a frame from the port, and settle its effects."""
        self.settle(self.core.frame_from_port(TRUNK, 1, frame, 0.0), results or {})

    def from_underlay(self, frame: bytes, results: Results | None = None) -> None:
        """Process a packet of the underlay, and settle its effects."""
        datagram = bytes([FLAG_VNI_VALID, 0, 0, 0, 0, 0, 10, 0]) + frame
        self.settle(
            self.core.datagram_from_underlay(REMOTE, 50000, True, datagram, 0.0), results or {}
        )

    def settle(self, decision: Decision, results: Results) -> None:
        """Carry a decision out as the agent does, at time 1.0."""
        fate = self.reporter.hold(decision)
        for effect in decision[0]:
            assert isinstance(effect, ToPort | ToUnderlay)
            to = effect.destination if isinstance(effect, ToUnderlay) else ""
            if to in results:
                self.core.failed(effect, results[to])
            if fate is not None:
                fate.settle(effect, results.get(to), 1.0)

    def fates(self) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
        """All events but learned rows: decision, reason, and the remotes that failed."""
        return [
            (event.decision, event.why, event.failed)
            for event in self.events
            if event.decision != "learned"
        ]


def test_a_flood_that_could_not_be_sent_is_dropped() -> None:
    vtep = Watched()
    vtep.from_port(plain(A, B), {"239.1.1.10": BUSY})
    assert [(event.decision, event.why, event.now) for event in vtep.events] == [
        *[("learned", "local", 0.0), ("dropped", "underlay_busy", 1.0)]
    ]
    assert vtep.counters.encapsulated == [0, 0, 0, 0]
    assert vtep.counters.drops[BUSY] == sum(vtep.counters.drops) == 1


def test_a_frame_that_could_not_be_written_to_the_port_is_dropped() -> None:
    vtep = Watched()
    vtep.from_underlay(plain(B, A), {"": DropReason.PORT_DOWN})
    assert [(event.decision, event.why) for event in vtep.events] == [
        *[("learned", "remote"), ("dropped", "port_down")]
    ]
    dropped = vtep.events[1]
    assert (dropped.remote, dropped.sport, dropped.frame) == (REMOTE, 50000, plain(B, A))
    assert vtep.counters.decapsulated == [0, 0, 0, 0]


def test_what_succeeded_is_reported_once() -> None:
    vtep = Watched()
    vtep.from_port(plain(A, B))
    vtep.from_underlay(plain(B, A))
    vtep.from_port(plain(A, B))
    assert [fate for fate, _, _ in vtep.fates()] == ["flooded", "delivered", "sent"]


# -- head-end replication: one frame, several copies


@pytest.mark.parametrize("unlucky", REMOTES)
def test_a_head_end_flood_with_one_failed_copy_is_flooded_and_names_the_remote(
    unlucky: str,
) -> None:
    vtep, frame = Watched(*REMOTES), plain(A, B)
    vtep.from_port(frame, {unlucky: UNREACHABLE})
    failed = ((unlucky, "underlay_unreachable"),)
    assert vtep.fates() == [("flooded", "unknown_unicast", failed)]
    assert vtep.events[-1].remote == " ".join(REMOTES)
    assert vtep.events[-1].as_json("hv1", 0.0, False)["failed"] == [
        {"remote": unlucky, "reason": "underlay_unreachable"}
    ]
    assert vtep.counters.encapsulated == [0, 0, 2, 2 * len(frame)], "each copy is counted"
    assert vtep.counters.drops[UNREACHABLE] == sum(vtep.counters.drops) == 1


def test_a_head_end_flood_without_any_copy_sent_is_dropped_and_names_all_remotes() -> None:
    vtep = Watched(*REMOTES)
    vtep.from_port(plain(A, B), {REMOTES[0]: UNREACHABLE, REMOTES[1]: BUSY, REMOTES[2]: BUSY})
    failed = (
        (REMOTES[0], "underlay_unreachable"),
        (REMOTES[1], "underlay_busy"),
        (REMOTES[2], "underlay_busy"),
    )
    assert vtep.fates() == [("dropped", "underlay_unreachable", failed)]
    assert vtep.counters.encapsulated == [0, 0, 0, 0]
    assert (vtep.counters.drops[UNREACHABLE], vtep.counters.drops[BUSY]) == (1, 2)


def test_a_head_end_flood_that_was_sent_whole_is_one_event() -> None:
    vtep = Watched(*REMOTES)
    vtep.from_port(plain(A, B))
    assert vtep.fates() == [("flooded", "unknown_unicast", ())]
    assert vtep.events[-1].as_json("hv1", 0.0, False)["failed"] is None


def test_a_flood_of_a_segment_without_other_remotes_is_reported() -> None:
    """The list of remotes may hold the VTEP's own address only: there is no destination."""
    vtep = Watched("192.0.2.11")
    vtep.from_port(plain(A, B))
    assert vtep.fates() == [("flooded", "unknown_unicast", ())]
    assert vtep.events[-1].remote is None
    assert vtep.counters.encapsulated == [0, 0, 0, 0]


# -- frames that the VTEP itself makes


@pytest.mark.parametrize(
    ("results", "fate"),
    [({}, ("answered", "arp_suppressed")), ({"": DropReason.PORT_BUSY}, ("dropped", "port_busy"))],
)
def test_an_arp_reply_is_reported_when_the_port_has_taken_it(
    results: Results, fate: tuple[str, str]
) -> None:
    vtep = Watched(suppress_arp=True)
    vtep.from_underlay(arp_reply())
    vtep.from_port(arp_request(), results)
    assert vtep.fates()[1:] == [(*fate, ())]
    assert vtep.counters.decapsulated[2] == 1, "the reply is no packet of the tunnel"


def test_a_frame_that_is_too_big_is_dropped_once_even_if_the_icmp_message_is_lost() -> None:
    vtep = Watched()
    vtep.from_port(tcp(payload=bytes(1460)), {"": DropReason.PORT_DOWN})
    assert vtep.fates() == [("dropped", "too_big", ())]
    assert vtep.counters.drops[DropReason.TOO_BIG] == 1
    assert vtep.counters.drops[DropReason.PORT_DOWN] == 1


# -- changes while an effect is pending


def test_a_failure_after_the_vni_was_removed_is_still_counted() -> None:
    vtep = Watched()
    (effect,), _ = vtep.core.frame_from_port(TRUNK, 1, plain(A, B), 0.0)
    assert isinstance(effect, ToUnderlay)
    vtep.core.remove_segment(10, 0.0)
    vtep.core.failed(effect, BUSY)
    assert vtep.core.unassigned_counters.drops[BUSY] == 1


def test_without_an_observer_there_are_no_events() -> None:
    vtep = Watched()
    vtep.reporter.unsubscribe(vtep.events.append)
    assert vtep.core.frame_from_port(TRUNK, 1, plain(A, B), 0.0)[1] == ()
    assert vtep.reporter.hold(vtep.core.frame_from_port(TRUNK, 1, plain(A, B), 0.0)) is None


def test_an_observer_that_leaves_while_a_frame_is_sent_gets_nothing_more() -> None:
    vtep = Watched(*REMOTES)
    decision = vtep.core.frame_from_port(TRUNK, 1, plain(A, B), 0.0)
    fate = vtep.reporter.hold(decision)
    assert fate is not None
    vtep.reporter.unsubscribe(vtep.events.append)
    for effect in decision[0]:
        assert isinstance(effect, ToUnderlay)
        fate.settle(effect, None, 1.0)
    assert vtep.fates() == []
