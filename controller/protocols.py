"""IGMP and MLD side by side: everything in which the two differ for snooping, flows and querier.

What is not in this table is the same for both. Pure data and pure functions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from . import igmp, mld
from .constants import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    IGMP_PROXY_SOURCE,
    IP_PROTO_ICMPV6,
    IP_PROTO_IGMP,
    MLD_PROXY_SOURCE,
    UNSPECIFIED_IPV4,
    UNSPECIFIED_IPV6,
)
from .flows import Match, Prefix
from .membership import Malformed, Message


@dataclass(frozen=True)
class Protocol:
    """A membership protocol, and the groups of its address family."""

    name: str
    eth_type: int
    messages: tuple[Match, ...]  # the frames that are messages of the protocol
    groups: Prefix  # all groups of the family
    flooded: Prefix  # groups whose data is always flooded
    forbidden: Prefix | None  # groups whose data must not appear on any link
    unspecified: str
    proxy_source: str  # of a querier that takes no part in the election of queriers
    proxies_are_answered: bool  # whether hosts answer a query from the unspecified address
    leaving_version: int  # first version whose hosts announce that they leave and can be queried
    is_message: Callable[[bytes], bool]
    parse: Callable[[bytes], Message | Malformed]
    build_query: Callable[[str | None, float, float, str], bytes]

    def tracks(self, group: str) -> bool:
        """Whether members of the group are recorded: data of the others does not depend on them."""
        untracked = (self.flooded, self.forbidden)
        return not any(prefix and within(group, prefix) for prefix in untracked)


IGMP = Protocol(
    name="IGMP",
    eth_type=ETHERTYPE_IPV4,
    messages=(Match(eth_type=ETHERTYPE_IPV4, ip_proto=IP_PROTO_IGMP),),
    groups=("224.0.0.0", "240.0.0.0"),
    # RFC 4541 2.1.2 point 2: hosts do not report all of these groups.
    flooded=("224.0.0.0", "255.255.255.0"),
    forbidden=None,
    unspecified=UNSPECIFIED_IPV4,
    proxy_source=IGMP_PROXY_SOURCE,
    proxies_are_answered=True,
    leaving_version=2,  # IGMPv1 has no leave message and no group-specific query
    is_message=igmp.is_message,
    parse=igmp.parse,
    build_query=igmp.build_query,
)

# RFC 4541 section 3 requires ff02::1 to be flooded. Here all of ff02::/16 is flooded, like
# 224.0.0.0/24: neighbour discovery then works before a solicited-node group is reported. Scopes 0
# (reserved) and 1 (interface-local) never leave a node (RFC 4291 2.7).
MLD = Protocol(
    name="MLD",
    eth_type=ETHERTYPE_IPV6,
    messages=tuple(
        Match(eth_type=ETHERTYPE_IPV6, ip_proto=IP_PROTO_ICMPV6, icmpv6_type=int(kind))
        for kind in mld.Type
    ),
    groups=("ff00::", "ff00::"),
    flooded=("ff02::", "ffff::"),
    forbidden=("ff00::", "ff0e::"),
    unspecified=UNSPECIFIED_IPV6,
    proxy_source=MLD_PROXY_SOURCE,
    proxies_are_answered=False,  # RFC 3810 5.1.14
    leaving_version=1,
    is_message=mld.is_message,
    parse=mld.parse,
    build_query=mld.build_query,
)

PROTOCOLS = (IGMP, MLD)


def protocol_of(group: str) -> Protocol:
    """The protocol of a group's address family."""
    return MLD if ":" in group else IGMP


@lru_cache(maxsize=4096)
def as_number(address: str) -> int:
    """An IP address as a number, to compare and to mask."""
    return int(ipaddress.ip_address(address))


def within(address: str, prefix: Prefix) -> bool:
    """Whether an address is in a prefix of its family."""
    return as_number(address) & as_number(prefix[1]) == as_number(prefix[0])
