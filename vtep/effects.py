"""What the core returns: effects that the agent carries out, and events that it reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NewType

from vtep.events import Event

PortId = NewType("PortId", int)


class ToPort(NamedTuple):
    """Write a frame to a port, with an 802.1Q tag of `vlan`, or untagged if `vlan` is None."""

    port: PortId
    vlan: int | None
    frame: bytes
    vni: int
    flood: bool  # whether the packet was addressed to the group
    counted: bool = True  # as decapsulated; False for frames that the VTEP itself made


class ToUnderlay(NamedTuple):
    """Send one IPv4 or IPv6 packet to a remote VTEP or to a group."""

    destination: str
    packet: bytearray  # from the IP header on; the kernel fills in the IPv4 header checksum
    vni: int
    flood: bool


class JoinGroup(NamedTuple):
    """Become a member of a multicast group."""

    group: str


class LeaveGroup(NamedTuple):
    """Cease to be a member of a multicast group."""

    group: str


Effect = ToPort | ToUnderlay | JoinGroup | LeaveGroup

# Effects in the order in which they are carried out, and events in the order in which they are
# reported. The last event may depend on how the effects end; see `vtep.reporting`. A plain tuple,
# because one is made for each packet.
Decision = tuple[Sequence[Effect], Sequence[Event]]
