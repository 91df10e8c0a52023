"""Effects are carried out one by one or in runs; events are reported with their outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.support.frames import A, B, C, plain, tcp
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import PortId
from vtep.events import Event
from vtep.executor import Executor
from vtep.options import Options
from vtep.reporting import Reporter
from vtep.segments import SegmentSpec
from vtep.vnet_hdr import NEEDS_CHECKSUM, TCPV4, VnetHeader, finish

TRUNK = PortId(0)
REMOTES = ("192.0.2.12", "192.0.2.13")


class FakeSockets:
    """Port, underlay and GSO sender in one: it notes what is sent, and fails where a test says."""

    def __init__(self) -> None:
        self.failing: dict[str, DropReason] = {}
        self.calls: list[tuple[str, int]] = []  # (destination, packets), in order

    def send(self, destination: str, packet: bytes) -> DropReason | None:
        return self.send_run(destination, [packet])[0]

    def send_run(self, destination: str, packets: Sequence[bytes]) -> list[DropReason | None]:
        self.calls.append((destination, len(packets)))
        return [self.failing.get(destination)] * len(packets)

    def write(self, vlan: int | None, frame: bytes) -> DropReason | None:
        return self.write_run(vlan, [frame])[0]

    def write_run(self, vlan: int | None, frames: Sequence[bytes]) -> list[DropReason | None]:
        self.calls.append((f"vlan {vlan}", len(frames)))
        return [self.failing.get(f"vlan {vlan}")] * len(frames)


class Bed:
    """An executor between a real core and fake sockets."""

    def __init__(self, gso: bool) -> None:
        self.core = Core(Options(local="192.0.2.11"))
        self.core.add_segment(SegmentSpec(10, TRUNK, 1, None, REMOTES), 0.0)
        self.counters = self.core.segments.by_vni[10].counters
        self.sockets = FakeSockets()
        self.reporter = Reporter(self.core.watch)
        self.events: list[Event] = []
        fake = cast(Any, self.sockets)
        self.executor = Executor(self.core, self.reporter, [fake], fake, fake if gso else None)

    def watch(self) -> None:
        self.reporter.subscribe(self.events.append)

    def from_port(self, *frames: bytes) -> None:
        for frame in frames:
            self.executor.to_underlay.carry_out(self.core.frame_from_port(TRUNK, 1, frame, 0.0))
        self.executor.to_underlay.flush()

    def from_underlay(self, *frames: bytes) -> None:
        for frame in frames:
            datagram = b"\x08\0\0\0\0\0\x0a\0" + frame
            decision = self.core.datagram_from_underlay(REMOTES[0], 50_000, False, datagram, 0.0)
            self.executor.to_ports.carry_out(decision)
        self.executor.to_ports.flush()

    def fates(self) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        return [(e.decision, e.failed) for e in self.events if e.decision != "learned"]


@pytest.fixture(params=[False, True], ids=["one by one", "runs"])
def bed(request: pytest.FixtureRequest) -> Bed:
    return Bed(request.param)


@pytest.mark.parametrize("unlucky", REMOTES)
def test_the_failed_copies_of_a_flood_are_reported_and_counted(bed: Bed, unlucky: str) -> None:
    bed.watch()
    bed.sockets.failing = {unlucky: DropReason.UNDERLAY_UNREACHABLE}
    bed.from_port(plain(A, B), plain(A, C))
    assert bed.fates() == [("flooded", ((unlucky, "underlay_unreachable"),))] * 2
    assert bed.counters.encapsulated == [0, 0, 2, 2 * len(plain(A, B))]
    assert bed.counters.drops[DropReason.UNDERLAY_UNREACHABLE] == 2


@pytest.mark.parametrize("watched", [False, True])
def test_counters_do_not_depend_on_an_observer(bed: Bed, watched: bool) -> None:
    if watched:
        bed.watch()
    bed.sockets.failing = dict.fromkeys([*REMOTES, "vlan 1"], DropReason.UNDERLAY_BUSY)
    bed.from_port(plain(A, B))
    bed.from_underlay(plain(C, A))
    assert bed.counters.encapsulated == bed.counters.decapsulated == [0, 0, 0, 0]
    assert bed.counters.drops[DropReason.UNDERLAY_BUSY] == 3
    assert [fate for fate, _ in bed.fates()] == ["dropped", "dropped"] * watched


def test_a_run_of_one_flow_is_one_call_and_one_event_for_each_frame() -> None:
    bed = Bed(gso=True)
    bed.from_underlay(plain(B, A))
    bed.watch()
    bed.sockets.calls.clear()
    bed.from_port(*[plain(A, B)] * 5)
    assert bed.sockets.calls == [(REMOTES[0], 5)]
    assert [fate for fate, _ in bed.fates()] == ["sent"] * 5


def test_a_failed_run_drops_each_of_its_frames() -> None:
    bed = Bed(gso=True)
    bed.from_underlay(plain(B, A))
    bed.watch()
    bed.sockets.failing = {REMOTES[0]: DropReason.TOO_BIG}
    bed.from_port(*[plain(A, B)] * 3)
    assert [(e.decision, e.why) for e in bed.events[1:]] == [("dropped", "too_big")] * 3
    assert bed.counters.encapsulated == [0, 0, 0, 0]


def test_segments_of_one_tcp_flow_reach_the_port_in_one_call(bed: Bed) -> None:
    bed.watch()
    whole = tcp(payload=bytes(400), seq=1, flags="A")
    segments = finish(VnetHeader(NEEDS_CHECKSUM, TCPV4, 54, 100, 34, 16), whole)
    assert segments is not None
    bed.from_underlay(*segments, plain(B, A))
    assert bed.sockets.calls == [("vlan 1", 4), ("vlan 1", 1)]
    assert [fate for fate, _ in bed.fates()] == ["delivered"] * 5
