"""A segment: one VNI with its VLAN of a port, its group, its table and its counters."""

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
    """What the operator wants of a VNI: floods go to a group, or to remotes (section 4)."""

    vni: int
    port: PortId
    vlan: int | None  # None: untagged frames of the port
    group: str | None
    remotes: tuple[str, ...] = ()  # head-end replication, where there is no group
    carry_tags: bool = False
    suppress_arp: bool = False


class Segment:
    """A VNI that is carried, with its table and counters."""

    def __init__(self, carried: SegmentSpec, fdb: Fdb) -> None:
        self.vni = carried.vni
        self.port = carried.port
        self.vlan = carried.vlan
        self.group = carried.group
        self.flood_to = (carried.group,) if carried.group is not None else carried.remotes
        self.carry_tags = carried.carry_tags
        self.suppress_arp = carried.suppress_arp
        self.neighbours = NeighbourTable(fdb.limit)
        self.fdb = fdb
        self.counters = Counters()
        self.headers: dict[str, bytes] = {}  # destination -> outer header


class Mirror(RowMirror, Protocol):
    """A copy of everything a faster data path forwards by."""

    def carry(self, segment: Segment) -> None:
        """A segment is carried from now on."""

    def uncarry(self, segment: Segment) -> None:
        """A segment, whose table is empty, is carried no more."""

    def count(self, segment: Segment) -> None:
        """Add to a segment's counters what was forwarded since the last time."""

    def pause(self, paused: bool) -> None:
        """Forward nothing, or all that is known."""


class SegmentTaken(Exception):
    """A VNI, or a VLAN of a port, that is in use already."""


class Segments:
    """All segments of a VTEP, found by VNI and by (port, VLAN); and who shares which group."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self._mirror = mirror
        self.by_vni: dict[int, Segment] = {}
        self._by_vlan: dict[tuple[PortId, int | None], Segment] = {}
        self._tagged: dict[PortId, int] = {}  # how many segments of a port have a VLAN
        self._members: dict[str, int] = {}

    def add(self, segment: Segment) -> bool:
        """Add a segment; whether it is the first of its group. SegmentTaken names a clash."""
        place = segment.port, segment.vlan
        if segment.vni in self.by_vni:
            raise SegmentTaken(f"vni {segment.vni}: there already")
        if place in self._by_vlan:
            raise SegmentTaken(
                f"vlan {segment.vlan}: carries vni {self._by_vlan[place].vni} already"
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
        """Empty and remove a segment.

        Returns it and whether it was its group's last. KeyError if there is none.
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

        On a port without any VLAN of its own (an access port) a tag is the VM's, and says nothing
        about the segment.
        """
        segment = self._by_vlan.get((port, vlan))
        if segment is None and not self._tagged.get(port):
            return self._by_vlan.get((port, None))
        return segment

    def groups(self) -> list[str]:
        """All groups in use."""
        return list(self._members)

    def count(self) -> None:
        """Bring all counters up to date with what a faster data path forwarded."""
        if self._mirror is not None:
            for segment in self.by_vni.values():
                self._mirror.count(segment)

    def pause(self, paused: bool) -> None:
        """Let a faster data path stand still, or go on."""
        if self._mirror is not None:
            self._mirror.pause(paused)

    def standing(self, now: float) -> list[Event]:
        """What holds already, as events: joined groups, then rows."""
        told = [
            Event(now, events.JOINED, "vni_added", vni=segment.vni, group=segment.group)
            for segment in self.by_vni.values()
            if segment.group is not None
        ]
        for vni, segment in self.by_vni.items():
            for mac, row in segment.fdb.rows.items():
                why = "local" if row.remote is None else "remote"
                told.append(Event(now, events.LEARNED, why, vni=vni, mac=mac, remote=row.remote))
        return told
