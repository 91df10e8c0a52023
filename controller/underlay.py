"""The state of the underlay as the controller knows it: ports, links, addresses, memberships.

Pure state and questions about it. It is changed by `pipeline` and read by `reconciliation`, which
derives the flows from it, and by `views`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .flows import PortRef
from .links import Links
from .protocols import PROTOCOLS, Protocol, protocol_of
from .snooping import Settings, Snooping
from .switching import Switching


@dataclass(frozen=True)
class PortState:
    """A port as its switch describes it."""

    name: str
    up: bool = True


class Underlay:
    """Everything known about the switches. A switch that disconnects keeps its state."""

    def __init__(self, settings: Settings, now: float) -> None:
        self.snooping = {protocol: Snooping(settings, now, protocol) for protocol in PROTOCOLS}
        self.links = Links()
        self.switching = Switching()
        self.connected: set[int] = set()
        self.port_states: dict[int, dict[int, PortState]] = {}

    # --- ports

    def ports(self, dpid: int) -> list[int]:
        """The numbers of a switch's ports that are up."""
        return sorted(n for n, state in self.port_states.get(dpid, {}).items() if state.up)

    def has_port(self, port: PortRef) -> bool:
        """Whether a switch has described this port, up or down."""
        return port[1] in self.port_states.get(port[0], {})

    def port_name(self, port: PortRef) -> str:
        """The switch's name for a port; empty if the port is unknown."""
        state = self.port_states.get(port[0], {}).get(port[1])
        return state.name if state else ""

    def edge_ports(self) -> frozenset[PortRef]:
        """The ports of connected switches that are up and not part of a link."""
        ports = ((dpid, number) for dpid in self.connected for number in self.ports(dpid))
        return frozenset(port for port in ports if self.links.peer(port) is None)

    def ports_towards(self, dpid: int, targets: frozenset[PortRef]) -> frozenset[int]:
        """The ports of a switch that are targets themselves or lead to a switch that has one."""
        next_hops = self.links.next_hops(dpid)
        own = {number for switch, number in targets if switch == dpid}
        return frozenset(own | {next_hops[switch] for switch, _ in targets if switch in next_hops})

    # --- groups and routers

    def snooping_of(self, group: str) -> Snooping:
        """The snooping of a group's address family."""
        return self.snooping[protocol_of(group)]

    def groups(self) -> list[str]:
        """All groups that have a member, of both protocols."""
        return [group for snooping in self.snooping.values() for group in snooping.groups()]

    def group_ports(self, dpid: int, group: str) -> frozenset[int]:
        """The outputs of a switch for a group that has members.

        Routers receive the data of every group (RFC 4541 2.1.2 point 1).
        """
        snooping = self.snooping_of(group)
        return self.ports_towards(dpid, snooping.members(group) | snooping.routers())

    def router_ports(self, dpid: int, protocol: Protocol) -> frozenset[int]:
        """The router ports of a switch, and its links towards those of other switches."""
        return self.ports_towards(dpid, self.snooping[protocol].routers())

    def reporters(self, group: str, port: PortRef) -> list[str]:
        """The addresses that reported a group at a port."""
        return self.snooping_of(group).reporters(group, port)

    def is_router_port(self, port: PortRef) -> bool:
        """Whether a multicast router of either protocol is at a port."""
        return any(port in snooping.routers() for snooping in self.snooping.values())

    # --- removal

    def forget_port(self, dpid: int, number: int) -> list[bytes]:
        """Remove everything learned at a port; returns the MAC addresses that were there."""
        self.links.remove((dpid, number))
        self.forget_members((dpid, number))
        return self.switching.forget_port(dpid, number)

    def forget_members(self, port: PortRef) -> None:
        """Remove the memberships and routers of a port."""
        for snooping in self.snooping.values():
            snooping.forget_port(port)
