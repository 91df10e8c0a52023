"""Checks of what a topology file says, each with the rule it enforces. Nothing is started here.

Every check raises UsageError with the node, the given value and what it must be; `places.placed`
adds the file and line.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vtep.constants import LAST_VLAN, LAST_VNI
from vxlab.errors import UsageError
from vxlab.topology.places import quoted

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PREFIX = re.compile(r"[^/]+/[0-9.]+")  # a length or, for IPv4, a mask
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")  # RFC 1122 section 3.2.1.3
_CLASS_E = ipaddress.IPv4Network("240.0.0.0/4")  # RFC 1112 section 4


def whole_number(what: str, value: object, low: int, high: int) -> int:
    """A whole number in a range; bool is no number here, though Python counts it as one."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{what} {quoted(value)}: must be a whole number from {low} to {high}")
    return int(value)  # of an enum or another subclass, whose text may differ


def check_vni(vni: object) -> int:
    """A VNI (RFC 7348 section 4: 24 bits)."""
    return whole_number("VNI", vni, 0, LAST_VNI)


def check_vlan(what: str, vlan: object) -> int:
    """A VLAN (IEEE 802.1Q)."""
    return whole_number(f"{what}: VLAN", vlan, 1, LAST_VLAN)


def text(what: str, value: object, example: str) -> str:
    """A string; `example` is what a good one looks like."""
    if not isinstance(value, str):
        raise UsageError(
            f"{what} {quoted(value)}: must be a string such as {example!r}, "
            f"not {type(value).__name__}"
        )
    return value


def host_interface(what: str, value: object, version: int, example: str) -> Interface:
    """The address of one host with its prefix length.

    what: the node and the parameter ("VM A: address"). version: 4 or 6.
    """
    written = text(what, value, example)
    shown = f"{what} {quoted(written)}"
    try:
        address = ipaddress.ip_interface(written)
    except ValueError:
        raise UsageError(f"{shown} is not an IP address; write for example {example}") from None
    if "%" in written:  # RFC 4007 section 11: only its own host can read a zone
        raise UsageError(f"{shown} has a zone; write for example {example}")
    if address.version != version:
        raise UsageError(f"{shown} is an IPv{address.version} address; must be IPv{version}")
    if not _PREFIX.fullmatch(written):
        length = example.rpartition("/")[2]
        raise UsageError(f"{shown} has no prefix length; write for example {written}/{length}")
    if reason := _no_host(address):
        raise UsageError(f"{shown} {reason}; must be the address of one host, such as {example}")
    return address


def _no_host(address: Interface) -> str | None:
    """Why an address cannot be that of a host; None where it can."""
    ip, network = address.ip, address.network
    if ip.is_multicast:
        return "is a multicast address"
    if ip.is_unspecified or ip.is_loopback:
        return "is an unspecified or loopback address"
    if ip in _THIS_NETWORK or ip in _CLASS_E:
        return "is a reserved address"
    if network.prefixlen == 0:
        return "has the prefix length 0"
    if network.prefixlen >= ip.max_prefixlen - 1:  # RFC 3021, RFC 6164: two hosts, no broadcast
        return None
    if ip == network.network_address:
        return f"is the address of the network {network} itself"
    if ip.version == 4 and ip == network.broadcast_address:
        return f"is the broadcast address of {network}"
    return None


@dataclass
class SegmentAddresses:
    """The addresses of the VMs of one VNI, which is one Ethernet: each may occur once."""

    ips: dict[str, str] = field(default_factory=dict)  # address -> VM
    macs: dict[str, str] = field(default_factory=dict)  # MAC -> VM
    networks: dict[Any, str] = field(default_factory=dict)  # network -> its first VM

    def claim(self, vm: str, vni: int, address: Interface, mac: str) -> None:
        """Enter a VM; UsageError where its IP, its MAC or its prefix length conflicts.

        VMs of one VNI may be in different networks. Networks that overlap and are not equal are a
        mistake: one of the two VMs would try to reach the other directly, and the other would not.
        """
        ip = str(address.ip)
        if ip in self.ips:
            raise UsageError(
                f"VM {vm}: address {address} is that of VM {self.ips[ip]} in VNI {vni}; "
                "must be unique in a VNI"
            )
        if mac in self.macs:
            raise UsageError(
                f"VM {vm}: MAC {mac} is that of VM {self.macs[mac]} in VNI {vni}; "
                "must be unique in a VNI"
            )
        self._claim_network(vm, vni, address)
        self.ips[ip] = self.macs[mac] = vm

    def _claim_network(self, vm: str, vni: int, address: Interface) -> None:
        if address.network in self.networks:
            return
        for network, other in self.networks.items():
            if network.overlaps(address.network):
                raise UsageError(
                    f"VM {vm}: address {address} has another prefix length than VM {other} in "
                    f"VNI {vni}; must be /{network.prefixlen}"
                )
        self.networks[address.network] = vm


def check_same_network(what: str, address: Interface, network: Network) -> None:
    """UsageError where an address is in a network that overlaps another and is not equal."""
    if address.network != network and address.network.overlaps(network):
        raise UsageError(
            f"{what} {address} has another prefix length than the network {network}; "
            f"must be /{network.prefixlen}"
        )


def segment_addresses() -> defaultdict[int, SegmentAddresses]:
    """An empty table of addresses for each VNI."""
    return defaultdict(SegmentAddresses)


class Trees:
    """Switches that links have joined into trees (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def add(self, switch: str) -> None:
        """A new switch, without links."""
        self._parent[switch] = switch

    def __contains__(self, switch: object) -> bool:
        return switch in self._parent

    def _root(self, switch: str) -> str:
        while self._parent[switch] != switch:
            switch = self._parent[switch]
        return switch

    def join(self, one: str, other: str) -> None:
        """Link two switches; UsageError where they are connected already."""
        first, second = self._root(one), self._root(other)
        if first == second:
            raise UsageError(
                f"switch {one}: a link to switch {other} closes a loop; the switches of the "
                "underlay must form a tree, since they run no spanning tree protocol"
            )
        self._parent[second] = first

    def roots(self) -> dict[str, str]:
        """For each switch, the one that stands for its tree."""
        return {switch: self._root(switch) for switch in self._parent}


def foreign(what: str, value: object, word: str, own: Iterable[Any]) -> UsageError:
    """The error for an object that is not one of this topology's."""
    names = ", ".join(map(str, list(own)[:5])) or "none so far"
    return UsageError(
        f"{what} {quoted(value)}: must be what self.{word}() of this topology returned ({names})"
    )
