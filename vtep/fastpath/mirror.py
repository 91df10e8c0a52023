"""Copy the core's tables into the maps of the eBPF program: rows, segments, remotes.

This module does no I/O. The memory that it writes is a parameter: the maps, or a test's own. A row
that does not fit a map, or that only the core can use, is not written; the program then leaves its
frames to the agent.
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

LOCAL = 0  # remote number of a MAC that is behind the local port


@dataclass(frozen=True)
class Maps:
    """The memory of the maps, shared with the program."""

    table: Table
    remotes: memoryview
    segments: memoryview
    vlans: memoryview  # of format "Q"
    config: memoryview


class PortPlace(NamedTuple):
    """The interface of a port."""

    interface: int  # interface index
    mtu: int  # bytes
    peer: bool  # a veth whose other end is in another network namespace


class Numbers:
    """Numbers from 1 to limit - 1 for names, with a use count; an unused number is free again."""

    def __init__(self, limit: int) -> None:
        self.of: dict[str | int, int] = {}
        self._users: dict[int, int] = {}
        self._names: dict[int, str | int] = {}
        self._free = list(range(limit - 1, 0, -1))

    def take(self, name: str | int) -> int | None:
        """Count one more use of a name and return its number; None if all numbers are in use."""
        number = self.of.get(name)
        if number is None:
            if not self._free:
                return None
            number = self.of[name] = self._free.pop()
            self._names[number] = name
        self._users[number] = self._users.get(number, 0) + 1
        return number

    def give_back(self, number: int) -> None:
        """Count one use less of a number."""
        self._users[number] -= 1
        if not self._users[number]:
            del self._users[number], self.of[self._names.pop(number)]
            self._free.append(number)


class KernelMirror:
    """The core's tables in the program's maps (implements `vtep.segments.Mirror`)."""

    def __init__(
        self,
        maps: Maps,
        ports: list[PortPlace],
        trusted: frozenset[str],
        on_link: Callable[[str], bool],
    ) -> None:
        """trusted: accepted remotes, empty for all; on_link: whether a remote needs no router."""
        self._maps = maps
        self._ports = ports
        self._trusted = trusted
        self._on_link = on_link
        self._segments = Numbers(len(maps.segments) // layout.SEGMENT_LENGTH)
        self._remotes = Numbers(len(maps.remotes) // layout.REMOTE.size)
        # VNI -> the program's counters when they were last added to the segment's
        self._counted: dict[int, tuple[int, ...]] = {}

    # -- rows

    def put(self, fdb: Fdb, mac: bytes, row: Row) -> None:
        """Write a row that is new, changed or renewed; remove it if only the core can use it."""
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
        """The number of a row's remote, with one use counted; None if only the core can use it.

        That is a static row with several remotes, an untrusted remote, or one without a number
        because the map of remotes is full.
        """
        if row.remote is None:
            return LOCAL
        if row.static and len(fdb.static_remotes[mac]) > 1:
            return None  # the core chooses one of the remotes by the hash of the flow
        if self._trusted and row.remote not in self._trusted:
            return None
        number = self._remotes.take(row.remote)
        if number is not None:
            at = number * layout.REMOTE.size
            flags = layout.ON_LINK * self._on_link(row.remote)
            layout.REMOTE.pack_into(self._maps.remotes, at, layout.address(row.remote), flags)
        return number

    def remove(self, fdb: Fdb, mac: bytes) -> None:
        """Remove a row."""
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
        """When the last frame from a MAC was received, by the core or by the program."""
        segment = self._segments.of.get(fdb.vni)
        value = None if segment is None else self._maps.table.get(layout.key(mac, segment))
        if value is None:
            return row.seen_s
        return max(row.seen_s, layout.seconds(layout.value_parts(value)[0], row.seen_s))

    # -- segments

    def carry(self, segment: Segment) -> None:
        """Let the program forward for a segment, unless the map of segments is full."""
        number = self._segments.take(segment.vni)
        if number is None:
            return
        port = self._ports[segment.port]
        # The program sends with bpf_redirect_peer() or bpf_redirect(). The first stays on this CPU.
        # The second goes through the receive queue of the veth's peer, and receive packet steering
        # (RPS) can distribute the flows of a trunk's many VMs from there to several CPUs.
        peer = port.peer and segment.vlan is None
        flags = layout.SUPPRESS * segment.suppress_arp | layout.PEER * peer
        at = number * layout.SEGMENT_LENGTH
        numbers = segment.vni, port.interface, port.mtu + ETHERNET_LENGTH, segment.vlan or 0, flags
        self._maps.segments[at : at + layout.SEGMENT_LENGTH] = bytes(layout.SEGMENT_LENGTH)
        layout.SEGMENT.pack_into(self._maps.segments, at, *numbers)
        self._counted[segment.vni] = (0, 0, 0, 0)
        self._maps.vlans[self._vlan_at(segment)] = number
        of_vni = layout.value(0, number, layout.PERMANENT)
        self._maps.table.set(layout.key_of_vni(segment.vni), of_vni)

    def uncarry(self, segment: Segment) -> None:
        """Stop forwarding for a segment. The caller has removed its rows."""
        number = self._segments.of.get(segment.vni)
        if number is None:
            return
        self.count(segment)
        self._maps.vlans[self._vlan_at(segment)] = 0
        self._maps.table.remove(layout.key_of_vni(segment.vni))
        at = number * layout.SEGMENT_LENGTH
        layout.SEGMENT.pack_into(self._maps.segments, at, 0, 0, 0, 0, 0)
        del self._counted[segment.vni]
        self._segments.give_back(number)

    def _vlan_at(self, segment: Segment) -> int:
        return segment.port * layout.VLANS_A_PORT + (segment.vlan or 0)

    def count(self, segment: Segment) -> None:
        """Add what the program forwarded since the last call to a segment's counters."""
        number = self._segments.of.get(segment.vni)
        if number is None:
            return
        at = number * layout.SEGMENT_LENGTH + layout.SEGMENT_COUNTERS_AT
        now = layout.SEGMENT_COUNTERS.unpack_from(self._maps.segments, at)
        before, self._counted[segment.vni] = self._counted[segment.vni], now
        ways = (segment.counters.encapsulated, segment.counters.decapsulated)
        for way, first in zip(ways, (0, 2), strict=True):
            way[UNICAST] += now[first] - before[first]
            segment.counters.fast_path += now[first] - before[first]
            way[UNICAST + 1] += now[first + 1] - before[first + 1]

    def pause(self, paused: bool) -> None:
        """Send every packet to the core, which reports its decisions, or forward again."""
        layout.PAUSED.pack_into(self._maps.config, layout.PAUSED_AT, paused)
