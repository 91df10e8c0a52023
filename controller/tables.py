"""The pipeline of each underlay switch, table by table, as flows.

Table 0, who is it from:
  400  link probes                         -> controller
  390  01:80:c2:00:00:0x (802.1D reserved) -> drop
  380  source address is a multicast one   -> drop
  300  IGMP, and the ICMPv6 types of MLD   -> controller only (RFC 4541 2.1.1, section 3)
  200  known (port, source)                -> table 1; idles out, which is told to the controller
    0  anything else                       -> controller and table 1
Table 1, where is it going:
  400  224.0.0.0/24, ff02::/16             -> flood (RFC 4541 2.1.2 point 2, section 3)
  400  IPv6 groups of scope 0 and 1        -> drop, being on no link (RFC 4541 section 3)
  300  a group somebody joined             -> members, router ports, links that lead to either
  200  224.0.0.0/4, ff00::/8               -> router ports and links that lead to them, else drop
  100  known unicast                       -> its port
    0  anything else                       -> flood: broadcast, unknown unicast

Groups are matched by IP address, since 32 of IPv4's and 2^80 of IPv6's share one MAC address
(RFC 4541 2.1.2 point 3). Switches find an ICMPv6 type behind extension headers, where MLD has its.
Flooding has no protection against loops: the switches must form a tree. Only source flows time
out, and what they do without is asking the controller: with it gone, frames pass all the same.
"""

from __future__ import annotations

from .flows import CONTROLLER, EXACT_IPV4, EXACT_IPV6, FLOOD, Flow, Kind, Match, Prefix
from .protocols import IPV4, IPV6, PROTOCOLS, Protocol

SOURCES, DESTINATIONS = 0, 1
HOST_IDLE_S = 300

ETHERTYPE_LLDP = 0x88CC
PROBE_MAC = bytes.fromhex("0180c200000e")
_EXACT = b"\xff" * 6
_GROUP_BIT = bytes.fromhex("010000000000")
_RESERVED = (bytes.fromhex("0180c2000000"), bytes.fromhex("fffffffffff0"))


def base_flows() -> list[Flow]:
    """The flows that every switch has, whatever is attached to it."""
    probe = Match(eth_dst=(PROBE_MAC, _EXACT), eth_type=ETHERTYPE_LLDP)
    messages = [match for protocol in PROTOCOLS for match in protocol.messages]
    flooded = [_towards(protocol.flooded) for protocol in PROTOCOLS]
    forbidden = [_towards(protocol.forbidden) for protocol in PROTOCOLS if protocol.forbidden]
    return [
        Flow(SOURCES, 400, probe, Kind.BASE, (CONTROLLER,)),
        Flow(SOURCES, 390, Match(eth_dst=_RESERVED), Kind.BASE),
        Flow(SOURCES, 380, Match(eth_src=(_GROUP_BIT, _GROUP_BIT)), Kind.BASE),
        *(Flow(SOURCES, 300, match, Kind.BASE, (CONTROLLER,)) for match in messages),
        Flow(SOURCES, 0, Match(), Kind.BASE, (CONTROLLER,), DESTINATIONS),
        *(Flow(DESTINATIONS, 400, match, Kind.BASE, (FLOOD,)) for match in flooded),
        *(Flow(DESTINATIONS, 400, match, Kind.BASE) for match in forbidden),
        Flow(DESTINATIONS, 0, Match(), Kind.BASE, (FLOOD,)),
    ]


def _towards(prefix: Prefix) -> Match:
    """What is sent to an address of a prefix of either family."""
    if ":" in prefix[0]:
        return Match(eth_type=IPV6, ipv6_dst=prefix)
    return Match(eth_type=IPV4, ipv4_dst=prefix)


def host_flows(mac: bytes, port: int) -> list[Flow]:
    """The two flows of a known address: its source check and the way to it."""
    source = Match(in_port=port, eth_src=(mac, _EXACT))
    destination = Match(eth_dst=(mac, _EXACT))
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
    """Where a joined group's packets go."""
    match = _towards((group, EXACT_IPV6 if ":" in group else EXACT_IPV4))
    return Flow(DESTINATIONS, 300, match, Kind.GROUP, tuple(sorted(ports)))


def routers_flow(protocol: Protocol, ports: frozenset[int]) -> Flow:
    """Where packets of a protocol's groups go that nobody joined."""
    match = _towards(protocol.groups)
    return Flow(DESTINATIONS, 200, match, Kind.ROUTERS, tuple(sorted(ports)))


def leads_to_routers(flow: Flow, protocol: Protocol) -> bool:
    """Whether a flow tells where a protocol's routers are."""
    return flow.kind is Kind.ROUTERS and flow.match.eth_type == protocol.eth_type


def host_of(flow: Flow) -> tuple[bytes, int] | None:
    """The (address, port) a host flow speaks of; None for other flows."""
    match = flow.match
    if flow.kind is Kind.HOST_SOURCE and match.eth_src and match.in_port is not None:
        return match.eth_src[0], match.in_port
    if flow.kind is Kind.HOST_DESTINATION and match.eth_dst and len(flow.outputs) == 1:
        return match.eth_dst[0], flow.outputs[0]
    return None


def group_of(flow: Flow) -> str | None:
    """The group a group flow speaks of; None for other flows."""
    prefix = flow.match.ipv4_dst or flow.match.ipv6_dst
    return prefix[0] if flow.kind is Kind.GROUP and prefix else None
