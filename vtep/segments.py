"""A segment: one VNI with its VLAN of a port, its group, its table and its counters."""

from __future__ import annotations

from dataclasses import dataclass

from vtep.drops import Counters
from vtep.effects import PortId
from vtep.fdb import Fdb
from vtep.neighbours import Neighbours


@dataclass(frozen=True)
class Carried:
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

    def __init__(self, carried: Carried, fdb: Fdb) -> None:
        self.vni = carried.vni
        self.port = carried.port
        self.vlan = carried.vlan
        self.group = carried.group
        self.flood_to = (carried.group,) if carried.group is not None else carried.remotes
        self.carry_tags = carried.carry_tags
        self.suppress_arp = carried.suppress_arp
        self.neighbours = Neighbours()
        self.fdb = fdb
        self.counters = Counters()
        self.headers: dict[str, bytes] = {}  # destination -> outer header


class SegmentTaken(Exception):
    """A VNI, or a VLAN of a port, that is in use already."""


class Segments:
    """All segments of a VTEP, found by VNI and by (port, VLAN); and who shares which group."""

    def __init__(self) -> None:
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
        if segment.group is None:
            return False
        self._members[segment.group] = self._members.get(segment.group, 0) + 1
        return self._members[segment.group] == 1

    def remove(self, vni: int) -> tuple[Segment, bool]:
        """Remove a segment; returns it and whether it was its group's last. KeyError if none."""
        segment = self.by_vni.pop(vni)
        del self._by_vlan[segment.port, segment.vlan]
        self._tagged[segment.port] -= segment.vlan is not None
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
