"""What the core decided, written where the kernel program reads it: rows, segments, remotes.

Pure but for the memory it writes, which may be any: the maps' own, or a test's. What cannot be
written (no room, a kind of row the program does not know) is left out, and the agent forwards it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vtep.drops import UNICAST
from vtep.fastpath import layout
from vtep.fastpath.table import Table
from vtep.fdb import Fdb, Row
from vtep.segments import Segment
from vtep.wire import ETHERNET_LENGTH

LOCAL = 0  # as the number of a remote


@dataclass(frozen=True)
class Maps:
    """The shared memory."""

    table: Table
    remotes: memoryview
    segments: memoryview
    vlans: memoryview  # of format "Q"
    config: memoryview


class PortPlace(NamedTuple):
    """Where a port is."""

    interface: int  # its index
    mtu: int  # bytes
    peer: bool  # a veth whose other end is in another network namespace


class Numbers:
    """Gives things small numbers from 1 on, up to a limit; a number returns when nobody uses it."""

    def __init__(self, limit: int) -> None:
        self.of: dict[str | int, int] = {}
        self._users: dict[int, int] = {}
        self._names: dict[int, str | int] = {}
        self._free = list(range(limit - 1, 0, -1))

    def take(self, name: str | int) -> int | None:
        """The number of a thing, for one user more; None if there is none left."""
        number = self.of.get(name)
        if number is None:
            if not self._free:
                return None
            number = self.of[name] = self._free.pop()
            self._names[number] = name
        self._users[number] = self._users.get(number, 0) + 1
        return number

    def give_back(self, number: int) -> None:
        """One user less."""
        self._users[number] -= 1
        if not self._users[number]:
            del self._users[number], self.of[self._names.pop(number)]
            self._free.append(number)


class KernelMirror:
    """The core's tables in the kernel's maps (`vtep.fdb.Mirror`)."""

    def __init__(
        self,
        maps: Maps,
        ports: list[PortPlace],
        trusted: frozenset[str],
        on_link: Callable[[str], bool],
    ) -> None:
        """trusted: remotes, or none for all; on_link: whether one is reached without a router."""
        self._maps = maps
        self._ports = ports
        self._trusted = trusted
        self._on_link = on_link
        self._segments = Numbers(len(maps.segments) // layout.SEGMENT_LENGTH)
        self._remotes = Numbers(len(maps.remotes) // layout.REMOTE.size)
        self._told: dict[int, tuple[int, ...]] = {}  # VNI -> counters as told so far

    # -- rows

    def put(self, fdb: Fdb, mac: bytes, row: Row) -> None:
        """Enter a row, or change it."""
        segment = self._segments.of.get(fdb.vni)
        if segment is None:
            return
        key = layout.key(mac, segment)
        remote = self._number_of(fdb, mac, row)
        before = self._maps.table.get(key)
        flags = layout.PERMANENT if row.static else 0
        if remote is None:
            self._remove(key)
            return
        packed = layout.value(layout.ticks(row.seen_s), remote, flags)
        entered = self._maps.table.set(key, packed)
        if before is not None:
            self._release(before)
        if not entered and remote != LOCAL:
            self._remotes.give_back(remote)

    def _number_of(self, fdb: Fdb, mac: bytes, row: Row) -> int | None:
        """The number of a row's remote; None for a row that only the core can use."""
        if row.remote is None:
            return LOCAL
        if row.static and len(fdb.static_remotes[mac]) > 1:
            return None  # each flow keeps to one of several
        if self._trusted and row.remote not in self._trusted:
            return None
        number = self._remotes.take(row.remote)
        if number is not None:
            at = number * layout.REMOTE.size
            flags = layout.ON_LINK * self._on_link(row.remote)
            layout.REMOTE.pack_into(self._maps.remotes, at, layout.address(row.remote), flags)
        return number

    def remove(self, fdb: Fdb, mac: bytes) -> None:
        """Take a row out."""
        segment = self._segments.of.get(fdb.vni)
        if segment is not None:
            self._remove(layout.key(mac, segment))

    def _remove(self, key: int) -> None:
        before = self._maps.table.remove(key)
        if before is not None:
            self._release(before)

    def _release(self, value: int) -> None:
        _, remote, _ = layout.value_parts(value)
        if remote != LOCAL:
            self._remotes.give_back(remote)

    def seen_s(self, fdb: Fdb, mac: bytes, row: Row) -> float:
        """When a frame from a MAC was received last, by the core or by the kernel."""
        segment = self._segments.of.get(fdb.vni)
        value = None if segment is None else self._maps.table.get(layout.key(mac, segment))
        if value is None:
            return row.seen_s
        return max(row.seen_s, layout.seconds(layout.value_parts(value)[0], row.seen_s))

    # -- segments

    def carry(self, segment: Segment) -> None:
        """Let the kernel forward for a segment, unless it can only be forwarded by the core."""
        number = self._segments.take(segment.vni)
        if number is None:
            return
        port = self._ports[segment.port]
        # A trunk's frames are better queued: many flows then share the work of several CPUs.
        peer = port.peer and segment.vlan is None
        flags = layout.SUPPRESS * segment.suppress_arp | layout.PEER * peer
        at = number * layout.SEGMENT_LENGTH
        numbers = segment.vni, port.interface, port.mtu + ETHERNET_LENGTH, segment.vlan or 0, flags
        self._maps.segments[at : at + layout.SEGMENT_LENGTH] = bytes(layout.SEGMENT_LENGTH)
        layout.SEGMENT.pack_into(self._maps.segments, at, *numbers)
        self._told[segment.vni] = (0, 0, 0, 0)
        self._maps.vlans[self._vlan_at(segment)] = number
        of_vni = layout.value(0, number, layout.PERMANENT)
        self._maps.table.set(layout.key_of_vni(segment.vni), of_vni)

    def uncarry(self, segment: Segment) -> None:
        """Forward for a segment no more; its rows are removed already."""
        number = self._segments.of.get(segment.vni)
        if number is None:
            return
        self.count(segment)
        self._maps.vlans[self._vlan_at(segment)] = 0
        self._maps.table.remove(layout.key_of_vni(segment.vni))
        at = number * layout.SEGMENT_LENGTH
        layout.SEGMENT.pack_into(self._maps.segments, at, 0, 0, 0, 0, 0)
        del self._told[segment.vni]
        self._segments.give_back(number)

    def _vlan_at(self, segment: Segment) -> int:
        return segment.port * layout.VLANS_A_PORT + (segment.vlan or 0)

    def count(self, segment: Segment) -> None:
        """Add to a segment's counters what the kernel forwarded since the last time."""
        number = self._segments.of.get(segment.vni)
        if number is None:
            return
        at = number * layout.SEGMENT_LENGTH + layout.SEGMENT_COUNTERS_AT
        now = layout.SEGMENT_COUNTERS.unpack_from(self._maps.segments, at)
        before, self._told[segment.vni] = self._told[segment.vni], now
        ways = (segment.counters.encapsulated, segment.counters.decapsulated)
        for way, first in zip(ways, (0, 2), strict=True):
            way[UNICAST] += now[first] - before[first]
            segment.counters.fast_path += now[first] - before[first]
            way[UNICAST + 1] += now[first + 1] - before[first + 1]

    def pause(self, paused: bool) -> None:
        """Let everything come to the core, as long as someone watches its decisions."""
        layout.PAUSED.pack_into(self._maps.config, layout.PAUSED_AT, paused)
