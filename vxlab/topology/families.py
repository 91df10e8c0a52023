"""The two address families an underlay may have, and a lab's address plan in each. Pure.

IPv4: 192.0.2.0/24 (RFC 5737). IPv6: 2001:db8::/64 (RFC 3849). RFC 7348 section 5 allows both.
Hypervisor n has host number 10 + n in both.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from vxlab.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SITE_LOCAL = int(ipaddress.IPv6Address("ff05::"))  # RFC 4291 section 2.7: site-local scope

# Link-local groups that hosts and routers use for protocols of their own (IANA's registries of
# IPv4 and IPv6 multicast addresses): each host would receive the floods of such a segment. The
# other link-local groups work, though the switches flood them (RFC 4541 section 2.1.2).
_RESERVED_GROUPS = (
    ipaddress.IPv4Network("224.0.0.0/27"),  # all hosts, all routers, OSPF, VRRP, IGMPv3, ...
    ipaddress.IPv4Network("224.0.0.251/32"),  # multicast DNS
    ipaddress.IPv4Network("224.0.0.252/32"),  # LLMNR
    ipaddress.IPv6Network("ff02::/123"),  # all nodes, all routers, MLDv2, ...
    ipaddress.IPv6Network("ff02::fb/128"),  # multicast DNS
    ipaddress.IPv6Network("ff02::1:0/112"),  # link name, DHCP, LLMNR
    ipaddress.IPv6Network("ff02::1:ff00:0/104"),  # RFC 4291 section 2.7.1: solicited-node
)


def is_reserved_group(group: Address) -> bool:
    """Whether a link-local group belongs to a protocol of hosts or routers."""
    return any(group.version == net.version and group in net for net in _RESERVED_GROUPS)


@dataclass(frozen=True)
class Family:
    """One address family of an underlay."""

    name: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    link_local: ipaddress.IPv4Network | ipaddress.IPv6Network  # groups that switches flood
    ip_length: int  # bytes of the outer IP header

    def address(self, hypervisor: int) -> str:
        """The underlay address of hypervisor number `hypervisor`, which counts from 1."""
        return str(self.network[10 + hypervisor])

    def interface(self, hypervisor: int) -> str:
        """The underlay address of a hypervisor with its prefix length."""
        return f"{self.address(hypervisor)}/{self.network.prefixlen}"

    def owns(self, address: str) -> bool:
        """Whether an address or group belongs to this family."""
        return ipaddress.ip_address(address).version == self.network.version

    def snoops(self, group: str) -> bool:
        """Whether the underlay's switches snoop a group; they flood link-local ones (RFC 4541)."""
        return ipaddress.ip_address(group) not in self.link_local

    def group(self, group: str) -> str:
        """The group used for `group` in this family: an IPv4 one becomes ff05:: and its 32 bits.

        The mapping is one to one, so that one topology file serves both families. UsageError for
        an IPv6 group on an IPv4 underlay.
        """
        if self.owns(group):
            return group
        if self is IPV4:
            raise UsageError(
                f"group {group}: must be an IPv4 group; `--set underlay=ipv6` allows IPv6 groups"
            )
        return str(ipaddress.IPv6Address(_SITE_LOCAL | int(ipaddress.IPv4Address(group))))


IPV4 = Family(
    name="ipv4",
    network=ipaddress.IPv4Network("192.0.2.0/24"),
    link_local=ipaddress.IPv4Network("224.0.0.0/24"),
    ip_length=20,
)
IPV6 = Family(
    name="ipv6",
    network=ipaddress.IPv6Network("2001:db8::/64"),
    link_local=ipaddress.IPv6Network("ff02::/16"),
    ip_length=40,
)
FAMILIES = {family.name: family for family in (IPV4, IPV6)}


def family_of(address: str) -> Family:
    """The family of an address or group."""
    return IPV4 if IPV4.owns(address) else IPV6


def mac_of(address: str) -> str:
    """A locally administered MAC from which a reader can tell the address.

    It contains all of an IPv4 address, or the first two and the last two bytes of an IPv6 address.
    """
    packed = ipaddress.ip_address(address).packed
    return "02:00:" + (packed[:2] + packed[-2:]).hex(":")
