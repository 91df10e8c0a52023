"""The segments of a VTEP: each is one VNI with its port and VLAN, group, table and counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vtep import events
from vtep.arp_suppression import NeighbourTable
from vtep.drops import Counters
from vtep.effects import PortId
from vtep.events import Event
from vtep.fdb import Fdb, RowMirror


@dataclass(frozen=True)
class SegmentSpec:
    """The configuration of a VNI. Floods go to a group, or to remotes (RFC 7348 section 4)."""

    vni: int
    port: PortId
    vlan: int | None  # None: the untagged frames of the port
    group: str | None
    remotes: tuple[str, ...] = ()  # for head-end replication, if there is no group
    carry_tags: bool = False
    suppress_arp: bool = False


class Segment:
    """A configured VNI, with its table and counters."""

    def __init__(self, spec: SegmentSpec, fdb: Fdb) -> None:
        self.vni = spec.vni
        self.port = spec.port
        self.vlan = spec.vlan
        self.group = spec.group
        self.flood_to = (spec.group,) if spec.group is not None else spec.remotes
        self.carry_tags = spec.carry_tags
        self.suppress_arp = spec.suppress_arp
        self.neighbours = NeighbourTable(fdb.limit)
        self.fdb = fdb
        self.counters = Counters()
        self.headers: dict[str, bytes] = {}  # destination -> outer header


class Mirror(RowMirror, Protocol):
    """A copy of all tables, by which the eBPF data path forwards."""

    def carry(self, segment: Segment) -> None:
        """A segment was added."""

    def uncarry(self, segment: Segment) -> None:
        """A segment was removed; its table is empty."""

    def count(self, segment: Segment) -> None:
        """Add to a segment's counters what was forwarded since the last call."""

    def pause(self, paused: bool) -> None:
        """Stop forwarding, or resume."""


class SegmentTaken(Exception):
    """The VNI, or the VLAN of the port, is already in use."""


class Segments:
    """All segments of a VTEP, by VNI and by (port, VLAN), and how many share each group."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self._mirror = mirror
        self.by_vni: dict[int, Segment] = {}
        self._by_vlan: dict[tuple[PortId, int | None], Segment] = {}
        self._tagged: dict[PortId, int] = {}  # number of segments with a VLAN
        self._members: dict[str, int] = {}

    def add(self, segment: Segment) -> bool:
        """Add a segment; True if it is the first of its group. SegmentTaken names a conflict."""
        place = segment.port, segment.vlan
        if segment.vni in self.by_vni:
            raise SegmentTaken(f"vni {segment.vni}: already exists")
        if place in self._by_vlan:
            raise SegmentTaken(
                f"vlan {segment.vlan}: already used by vni {self._by_vlan[place].vni}"
            )
        self.by_vni[segment.vni] = segment
        self._by_vlan[place] = segment
        self._tagged[segment.port] = self._tagged.get(segment.port, 0) + (segment.vlan is not None)
        if self._mirror is not None:
            self._mirror.carry(segment)
        if segment.group is None:
            return False
        self._members[segment.group] = self._members.get(segment.group, 0) + 1
        return self._members[segment.group] == 1

    def remove(self, vni: int) -> tuple[Segment, bool]:
        """Remove a segment and its rows.

        Returns it, and True if it was the last of its group. KeyError if there is no such VNI.
        """
        segment = self.by_vni.pop(vni)
        del self._by_vlan[segment.port, segment.vlan]
        self._tagged[segment.port] -= segment.vlan is not None
        segment.fdb.clear()
        if self._mirror is not None:
            self._mirror.uncarry(segment)
        if segment.group is None:
            return segment, False
        self._members[segment.group] -= 1
        if self._members[segment.group]:
            return segment, False
        del self._members[segment.group]
        return segment, True

    def of_frame(self, port: PortId, vlan: int | None) -> Segment | None:
        """The segment of a frame from a port.

        On a port without VLANs (an access port) a tag is the VM's own and does not select a
        segment.
        """
        segment = self._by_vlan.get((port, vlan))
        if segment is None and not self._tagged.get(port):
            return self._by_vlan.get((port, None))
        return segment

    def groups(self) -> list[str]:
        """All groups in use."""
        return list(self._members)

    def count(self) -> None:
        """Add to all counters what the eBPF data path has forwarded."""
        if self._mirror is not None:
            for segment in self.by_vni.values():
                self._mirror.count(segment)

    def pause(self, paused: bool) -> None:
        """Pause the eBPF data path, or resume it."""
        if self._mirror is not None:
            self._mirror.pause(paused)

    def current_state(self, now: float) -> list[Event]:
        """The current state as events: joined groups, then rows."""
        state = [
            Event(now, events.JOINED, "vni_added", vni=segment.vni, group=segment.group)
            for segment in self.by_vni.values()
            if segment.group is not None
        ]
        for vni, segment in self.by_vni.items():
            for mac, row in segment.fdb.rows.items():
                why = "local" if row.remote is None else "remote"
                state.append(Event(now, events.LEARNED, why, vni=vni, mac=mac, remote=row.remote))
        return state
