"""The two address families an underlay may have, and a lab's address plan in each. Pure.

IPv4: 192.0.2.0/24 (RFC 5737). IPv6: 2001:db8::/64 (of RFC 3849), as RFC 7348 section 5 allows.
Hypervisor n has host number 10 + n in both.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from vxlab.errors import UsageError

_SITE_LOCAL = int(ipaddress.IPv6Address("ff05::"))  # RFC 4291 2.7: site-local scope


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
        """The same with its prefix length."""
        return f"{self.address(hypervisor)}/{self.network.prefixlen}"

    def owns(self, address: str) -> bool:
        """Whether an address or group is of this family."""
        return ipaddress.ip_address(address).version == self.network.version

    def snoops(self, group: str) -> bool:
        """Whether the underlay's switches know who is in a group; else they flood (RFC 4541)."""
        return ipaddress.ip_address(group) not in self.link_local

    def group(self, group: str) -> str:
        """The group that stands for `group` here: an IPv4 one becomes ff05:: and its 32 bits.

        One to one, so that a topology is written once; UsageError for an IPv6 group over IPv4.
        """
        if self.owns(group):
            return group
        if self is IPV4:
            raise UsageError(f"group {group}: allowed is an IPv4 one, or `--set underlay=ipv6`")
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
    """A locally administered MAC that shows the address it belongs to.

    All of an IPv4 address; of an IPv6 address the first two bytes and the last two.
    """
    packed = ipaddress.ip_address(address).packed
    return "02:00:" + (packed[:2] + packed[-2:]).hex(":")
