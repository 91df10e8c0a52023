"""All that the core may ask of the world."""

from __future__ import annotations

from typing import NamedTuple, NewType

from vtep.events import Event

PortId = NewType("PortId", int)


class ToPort(NamedTuple):
    """Hand a frame to a port, with an 802.1Q tag of `vlan`, or untagged for None."""

    port: PortId
    vlan: int | None
    frame: bytes
    vni: int
    flood: bool  # whether it came to the group
    told: Event | None  # for the observer, once it is done
    counted: bool = True  # as decapsulated; what the VTEP itself says is not


class ToUnderlay(NamedTuple):
    """Send one IPv4 packet: to a remote VTEP or to a group."""

    destination: str
    packet: bytearray
    vni: int
    flood: bool
    told: Event | None  # for the observer, once it is done


class JoinGroup(NamedTuple):
    """Become a member of a multicast group."""

    group: str


class LeaveGroup(NamedTuple):
    """Cease to be a member."""

    group: str


Effect = ToPort | ToUnderlay | JoinGroup | LeaveGroup
