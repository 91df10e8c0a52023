"""IGMP and MLD side by side: all that snooping, flows and querier must know of a protocol.

What is not in this table is the same for both. Pure data and pure functions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from . import igmp, mld
from .flows import Match, Prefix
from .membership import Malformed, Message

IPV4, IPV6 = 0x0800, 0x86DD


@dataclass(frozen=True)
class Protocol:
    """A membership protocol, and the groups of its address family."""

    name: str
    eth_type: int
    messages: tuple[Match, ...]  # how a switch knows its messages
    groups: Prefix  # all there are
    flooded: Prefix  # whose data always floods
    forbidden: Prefix | None  # that are on no link
    unspecified: str
    proxy_source: str  # of a querier that takes no part in the election of queriers
    proxies_are_answered: bool  # whether hosts answer a query from the unspecified address
    leaving_version: int  # the first version whose hosts tell that they leave, and may be asked
    is_message: Callable[[bytes], bool]
    parse: Callable[[bytes], Message | Malformed]
    build_query: Callable[[str | None, float, float, str], bytes]

    def records(self, group: str) -> bool:
        """Whether it is of use to know the group's members."""
        kept_out = (self.flooded, self.forbidden)
        return not any(prefix and within(group, prefix) for prefix in kept_out)


IGMP = Protocol(
    name="IGMP",
    eth_type=IPV4,
    messages=(Match(eth_type=IPV4, ip_proto=igmp.IP_PROTO_IGMP),),
    groups=("224.0.0.0", "240.0.0.0"),
    flooded=("224.0.0.0", "255.255.255.0"),  # RFC 4541 2.1.2 point 2: not all of them are reported
    forbidden=None,
    unspecified=igmp.UNSPECIFIED,
    proxy_source=igmp.UNSPECIFIED,  # RFC 4541 2.1.1 point 1b
    proxies_are_answered=True,
    leaving_version=2,
    is_message=igmp.is_message,
    parse=igmp.parse,
    build_query=igmp.build_query,
)

# RFC 4541 section 3 asks for ff02::1 to be flooded. Here all of ff02::/16 is, as 224.0.0.0/24 is:
# neighbour discovery then needs no report of a solicited-node group, nor waits for one. Scopes 0
# and 1 never leave a node (RFC 4291 2.7).
MLD = Protocol(
    name="MLD",
    eth_type=IPV6,
    messages=tuple(
        Match(eth_type=IPV6, ip_proto=mld.ICMPV6, icmpv6_type=int(kind)) for kind in mld.Type
    ),
    groups=("ff00::", "ff00::"),
    flooded=("ff02::", "ffff::"),
    forbidden=("ff00::", "ff0e::"),
    unspecified=mld.UNSPECIFIED,
    proxy_source=mld.PROXY_SOURCE,
    proxies_are_answered=False,  # RFC 3810 5.1.14
    leaving_version=1,
    is_message=mld.is_message,
    parse=mld.parse,
    build_query=mld.build_query,
)

PROTOCOLS = (IGMP, MLD)


def protocol_of(group: str) -> Protocol:
    """The protocol that speaks of a group."""
    return MLD if ":" in group else IGMP


@lru_cache(maxsize=4096)
def as_number(address: str) -> int:
    """An address as a number, to compare and to mask."""
    return int(ipaddress.ip_address(address))


def within(address: str, prefix: Prefix) -> bool:
    """Whether an address is in a prefix of its family."""
    return as_number(address) & as_number(prefix[1]) == as_number(prefix[0])
