"""The flow tables of each underlay switch.

Table 0 checks the source:
  400  link probes                         -> controller
  390  01:80:c2:00:00:0x (802.1D reserved) -> drop
  380  multicast source address            -> drop
  300  IGMP, and the ICMPv6 types of MLD   -> controller only (RFC 4541 2.1.1, section 3)
  200  known (port, source)                -> table 1; idles out, then the switch notifies
    0  anything else                       -> controller and table 1
Table 1 selects the outputs by destination:
  400  224.0.0.0/24, ff02::/16             -> flood (RFC 4541 2.1.2 point 2, section 3)
  400  IPv6 groups of scope 0 and 1        -> drop: not valid on a link (RFC 4541 section 3)
  300  a group with members                -> members, router ports, links towards either
  200  224.0.0.0/4, ff00::/8               -> router ports and links towards them, else drop
  100  known unicast                       -> its port
    0  anything else                       -> flood: broadcast, unknown unicast

Groups are matched by IP address, since 32 IPv4 groups and 2^80 IPv6 groups share one MAC address
(RFC 4541 2.1.2 point 3). Open vSwitch finds the ICMPv6 type behind extension headers; MLD always
has a Hop-by-Hop header. Flooding has no protection against loops: the switches must form a tree.
Only source flows time out. Without a source flow a frame still passes, and a copy goes to the
controller; so frames are forwarded even while no controller runs.
"""

from __future__ import annotations

from .constants import (
    BRIDGE_GROUP,
    BRIDGE_GROUP_MASK,
    CONTROLLER,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_LLDP,
    EXACT_IPV4,
    EXACT_IPV6,
    EXACT_MAC,
    FLOOD,
    GROUP_BIT,
    LLDP_MAC,
)
from .flows import Flow, Kind, Match, Prefix
from .protocols import PROTOCOLS, Protocol

SOURCES, DESTINATIONS = 0, 1
HOST_IDLE_S = 300


def base_flows() -> list[Flow]:
    """The flows of every switch, independent of what is attached to it."""
    probe = Match(eth_dst=(LLDP_MAC, EXACT_MAC), eth_type=ETHERTYPE_LLDP)
    messages = [match for protocol in PROTOCOLS for match in protocol.messages]
    flooded = [_towards(protocol.flooded) for protocol in PROTOCOLS]
    forbidden = [_towards(protocol.forbidden) for protocol in PROTOCOLS if protocol.forbidden]
    return [
        Flow(SOURCES, 400, probe, Kind.BASE, (CONTROLLER,)),
        Flow(SOURCES, 390, Match(eth_dst=(BRIDGE_GROUP, BRIDGE_GROUP_MASK)), Kind.BASE),
        Flow(SOURCES, 380, Match(eth_src=(GROUP_BIT, GROUP_BIT)), Kind.BASE),
        *(Flow(SOURCES, 300, match, Kind.BASE, (CONTROLLER,)) for match in messages),
        Flow(SOURCES, 0, Match(), Kind.BASE, (CONTROLLER,), DESTINATIONS),
        *(Flow(DESTINATIONS, 400, match, Kind.BASE, (FLOOD,)) for match in flooded),
        *(Flow(DESTINATIONS, 400, match, Kind.BASE) for match in forbidden),
        Flow(DESTINATIONS, 0, Match(), Kind.BASE, (FLOOD,)),
    ]


def _towards(prefix: Prefix) -> Match:
    """Packets to an address within a prefix of either family."""
    if ":" in prefix[0]:
        return Match(eth_type=ETHERTYPE_IPV6, ipv6_dst=prefix)
    return Match(eth_type=ETHERTYPE_IPV4, ipv4_dst=prefix)


def host_flows(mac: bytes, port: int) -> list[Flow]:
    """The two flows of a known address: as a source at its port, and as a destination."""
    source = Match(in_port=port, eth_src=(mac, EXACT_MAC))
    destination = Match(eth_dst=(mac, EXACT_MAC))
    return [
        Flow(
            SOURCES,
            200,
            source,
            Kind.HOST_SOURCE,
            goto=DESTINATIONS,
            idle_timeout_s=HOST_IDLE_S,
            notify=True,
        ),
        Flow(DESTINATIONS, 100, destination, Kind.HOST_DESTINATION, (port,)),
    ]


def group_flow(group: str, ports: frozenset[int]) -> Flow:
    """The outputs for packets to a group that has members."""
    match = _towards((group, EXACT_IPV6 if ":" in group else EXACT_IPV4))
    return Flow(DESTINATIONS, 300, match, Kind.GROUP, tuple(sorted(ports)))


def routers_flow(protocol: Protocol, ports: frozenset[int]) -> Flow:
    """The outputs for packets to groups of a protocol that have no members."""
    match = _towards(protocol.groups)
    return Flow(DESTINATIONS, 200, match, Kind.ROUTERS, tuple(sorted(ports)))


def leads_to_routers(flow: Flow, protocol: Protocol) -> bool:
    """Whether a flow's outputs are the router ports of a protocol and the links towards them."""
    return flow.kind is Kind.ROUTERS and flow.match.eth_type == protocol.eth_type


def host_of(flow: Flow) -> tuple[bytes, int] | None:
    """The (address, port) that a host flow is about; None for other flows."""
    match = flow.match
    if flow.kind is Kind.HOST_SOURCE and match.eth_src and match.in_port is not None:
        return match.eth_src[0], match.in_port
    if flow.kind is Kind.HOST_DESTINATION and match.eth_dst and len(flow.outputs) == 1:
        return match.eth_dst[0], flow.outputs[0]
    return None


def group_of(flow: Flow) -> str | None:
    """The group that a group flow is about; None for other flows."""
    prefix = flow.match.ipv4_dst or flow.match.ipv6_dst
    return prefix[0] if flow.kind is Kind.GROUP and prefix else None
