"""A segment: one VNI with its VLAN of a port, its group, its table and its counters."""

from __future__ import annotations

from dataclasses import dataclass, field

from vtep.drops import Counters
from vtep.effects import PortId
from vtep.fdb import Fdb


@dataclass(eq=False)
class Segment:
    """One VNI (RFC 7348 section 4); `vlan` None means untagged frames of the port."""

    vni: int
    group: str
    port: PortId
    vlan: int | None
    carry_tags: bool
    fdb: Fdb
    counters: Counters = field(default_factory=Counters)
    headers: dict[str, bytes] = field(default_factory=dict)  # destination -> outer header


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
        self._members[segment.group] = self._members.get(segment.group, 0) + 1
        return self._members[segment.group] == 1

    def remove(self, vni: int) -> tuple[Segment, bool]:
        """Remove a segment; returns it and whether it was its group's last. KeyError if none."""
        segment = self.by_vni.pop(vni)
        del self._by_vlan[segment.port, segment.vlan]
        self._tagged[segment.port] -= segment.vlan is not None
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
