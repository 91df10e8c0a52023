"""The maps follow the core: after any sequence of operations they have the same rows."""

from __future__ import annotations

import socket

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.frames import mac
from vtep.constants import VXLAN_PORT
from vtep.core import Core
from vtep.drops import UNICAST
from vtep.effects import PortId
from vtep.fastpath import layout
from vtep.fastpath.mirror import KernelMirror, Maps, Numbers, PortPlace
from vtep.fastpath.table import Table
from vtep.options import Options
from vtep.segments import SegmentSpec

BROADCAST = b"\xff" * 6
LOCAL = "192.0.2.1"
REMOTES = ("192.0.2.11", "192.0.2.12", "198.51.100.7")
MACS = tuple(mac(f"02:00:00:00:00:{number:02x}") for number in range(1, 7))
TRUNK = PortId(0)


class Kernel:
    """The maps, in memory of the test."""

    def __init__(self, core_options: Options) -> None:
        words = memoryview(bytearray(64 * layout.BUCKET_LENGTH)).cast("Q")
        self.maps = Maps(
            table=Table(words, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)),
            remotes=memoryview(bytearray(8 * layout.REMOTE.size)),
            segments=memoryview(bytearray(8 * layout.SEGMENT_LENGTH)),
            vlans=memoryview(bytearray(8 * layout.VLANS_A_PORT)).cast("Q"),
            config=memoryview(bytearray(layout.CONFIG.size)),
        )
        self.mirror = KernelMirror(
            self.maps,
            [PortPlace(7, 1500, peer=True)],
            core_options.trusted,
            lambda remote: remote.startswith("192.0.2."),
        )

    def segment(self, vni: int) -> int | None:
        """The number of a VNI's segment, as the program would read it."""
        packed = self.maps.table.get(layout.key_of_vni(vni))
        return None if packed is None else layout.value_parts(packed)[1]

    def row(self, vni: int, station: bytes) -> tuple[str | None, bool] | None:
        """(remote, permanent) of a MAC, as the program would read it."""
        segment = self.segment(vni)
        packed = None if segment is None else self.maps.table.get(layout.key(station, segment))
        if packed is None:
            return None
        _, number, flags = layout.value_parts(packed)
        address, _ = layout.REMOTE.unpack_from(self.maps.remotes, number * layout.REMOTE.size)
        remote = None if number == 0 else socket.inet_ntoa(address[:4])
        return remote, bool(flags & layout.PERMANENT)


class FollowsTheCore(RuleBasedStateMachine):
    """A core with a mirror. Both must always have the same rows."""

    def __init__(self) -> None:
        super().__init__()
        options = Options(local=LOCAL, ageing_s=10.0, limit=5)
        self.kernel = Kernel(options)
        self.core = Core(options, self.kernel.mirror)
        self.now = 100.0
        self.add(10)

    macs = st.sampled_from(MACS)
    vnis = st.sampled_from((10, 20))
    remotes = st.sampled_from(REMOTES)

    @rule(vni=vnis)
    def add(self, vni: int) -> None:
        if vni not in self.core.segments.by_vni:
            self.core.add_segment(SegmentSpec(vni, TRUNK, vni, f"239.1.1.{vni}"), self.now)

    @rule(vni=vnis)
    def remove(self, vni: int) -> None:
        if vni in self.core.segments.by_vni:
            self.core.remove_segment(vni, self.now)

    @rule(vni=vnis, station=macs)
    def from_port(self, vni: int, station: bytes) -> None:
        self.core.frame_from_port(TRUNK, vni, BROADCAST + station + bytes(48), self.now)

    @rule(vni=vnis, station=macs, remote=remotes)
    def from_underlay(self, vni: int, station: bytes, remote: str) -> None:
        header = b"\x08\0\0\0" + vni.to_bytes(3, "big") + b"\0"
        frame = BROADCAST + station + bytes(48)
        self.core.datagram_from_underlay(remote, VXLAN_PORT, True, header + frame, self.now)

    @rule(vni=vnis, station=macs, remote=remotes, add=st.booleans())
    def static(self, vni: int, station: bytes, remote: str, add: bool) -> None:
        if vni in self.core.segments.by_vni:
            self.core.set_static(vni, station, remote, self.now, add)

    @rule(vni=vnis, station=macs)
    def static_away(self, vni: int, station: bytes) -> None:
        if vni in self.core.segments.by_vni:
            self.core.segments.by_vni[vni].fdb.remove_static(station)

    @rule(station=st.one_of(st.none(), macs))
    def flush(self, station: bytes | None) -> None:
        self.core.flush(None, station, self.now)

    @rule(seconds=st.sampled_from((0.3, 2.0, 11.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.core.expire(self.now)

    @invariant()
    def the_maps_have_the_same_rows(self) -> None:
        rows = 0
        for vni in (10, 20):
            segment = self.core.segments.by_vni.get(vni)
            assert (self.kernel.segment(vni) is None) == (segment is None)
            rows += segment is not None
            for station in MACS:
                row = None if segment is None else segment.fdb.lookup(station)
                expected = None if row is None else (row.remote, row.static)
                if segment and len(segment.fdb.static_remotes.get(station, ())) > 1:
                    expected = None  # several remotes: only the core can choose, by flow
                assert self.kernel.row(vni, station) == expected
                rows += expected is not None
        assert self.kernel.maps.table.rows == rows


FollowsTheCore.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestFollowsTheCore = FollowsTheCore.TestCase


def carrying(trusted: frozenset[str] = frozenset()) -> tuple[Core, Kernel]:
    options = Options(local=LOCAL, ageing_s=10.0, trusted=trusted)
    kernel = Kernel(options)
    core = Core(options, kernel.mirror)
    core.add_segment(SegmentSpec(10, TRUNK, 1, "239.1.1.10"), 0.0)
    return core, kernel


def receive(core: Core, station: bytes, remote: str, now: float) -> None:
    datagram = b"\x08\0\0\0\0\0\x0a\0" + BROADCAST + station + bytes(48)
    core.datagram_from_underlay(remote, VXLAN_PORT, True, datagram, now)


def test_a_row_that_the_program_renewed_does_not_age() -> None:
    core, kernel = carrying()
    receive(core, MACS[0], REMOTES[0], 100.0)
    key = layout.key(MACS[0], kernel.segment(10) or 0)
    packed = kernel.maps.table.get(key)
    assert packed is not None
    _, remote, flags = layout.value_parts(packed)
    kernel.maps.table.set(key, layout.value(layout.ticks(109.0), remote, flags))
    core.expire(111.0)
    row = core.segments.by_vni[10].fdb.lookup(MACS[0])
    assert row is not None
    assert abs(core.segments.by_vni[10].fdb.seen_s(MACS[0], row) - 109.0) < 0.05
    core.expire(120.0)
    assert core.segments.by_vni[10].fdb.rows == {} and kernel.row(10, MACS[0]) is None


def test_packets_forwarded_by_the_program_are_counted_once() -> None:
    core, kernel = carrying()
    at = (kernel.segment(10) or 0) * layout.SEGMENT_LENGTH + layout.SEGMENT_COUNTERS_AT
    layout.SEGMENT_COUNTERS.pack_into(kernel.maps.segments, at, 3, 300, 5, 700)
    counters = core.segments.by_vni[10].counters
    for _ in range(2):
        core.segments.count()
        assert counters.encapsulated[UNICAST : UNICAST + 2] == [3, 300]
        assert counters.decapsulated[UNICAST : UNICAST + 2] == [5, 700]
        assert counters.fast_path == 8


def test_the_program_is_paused_while_someone_watches() -> None:
    core, kernel = carrying()

    def paused() -> int:
        return int(layout.PAUSED.unpack_from(kernel.maps.config, layout.PAUSED_AT)[0])

    core.watch(True)
    assert paused() == 1
    core.watch(False)
    assert paused() == 0


def test_the_program_does_not_forward_to_an_untrusted_remote() -> None:
    core, kernel = carrying(trusted=frozenset(REMOTES[:1]))
    core.set_static(10, MACS[0], REMOTES[1], 0.0)
    core.set_static(10, MACS[1], REMOTES[0], 0.0)
    assert kernel.row(10, MACS[0]) is None
    assert kernel.row(10, MACS[1]) == (REMOTES[0], True)


def test_remotes_that_do_not_fit_the_map_are_left_to_the_core_and_numbers_are_reused() -> None:
    core, kernel = carrying()
    stations = [number.to_bytes(6, "big") for number in range(0x0200, 0x020A)]
    for number, station in enumerate(stations):
        receive(core, station, f"192.0.2.{20 + number}", 1.0)
    known = [station for station in stations if kernel.row(10, station)]
    assert len(known) == 7  # number 0 means local
    core.flush(None, None, 2.0)
    for number, station in enumerate(stations[:7]):
        receive(core, station, f"192.0.2.{40 + number}", 3.0)
    assert all(kernel.row(10, station) for station in stations[:7])


def test_a_number_is_free_when_its_last_user_returns_it() -> None:
    numbers = Numbers(3)
    assert (numbers.take("a"), numbers.take("a"), numbers.take("b")) == (1, 1, 2)
    assert numbers.take("c") is None
    numbers.give_back(1)
    assert numbers.take("c") is None
    numbers.give_back(1)
    assert numbers.take("c") == 1 and numbers.of == {"b": 2, "c": 1}
