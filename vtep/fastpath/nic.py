"""Queries about network interfaces: their addresses, and the other end of a veth (netlink)."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from vtep.wire import is_ipv6

_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B
_RTM_GETLINK = 18
_ADDRESSES = Path("/proc/net/if_inet6")
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_ATTRIBUTE = struct.Struct("=HH")
_IFLA_LINKINFO, _IFLA_INFO_KIND, _IFLA_LINK_NETNSID = 18, 1, 37


def network_of(interface: str, local: str) -> IPv4Network | IPv6Network:
    """The network of an interface's address: the hosts that it reaches without a router.

    OSError if the interface has no such address.
    """
    if is_ipv6(local):
        return _network_of_ipv6(interface, IPv6Address(local))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        request = struct.pack("16s24x", interface.encode())
        address, mask = (
            socket.inet_ntoa(fcntl.ioctl(asker, number, request)[20:24])
            for number in (_SIOCGIFADDR, _SIOCGIFNETMASK)
        )
    return IPv4Network(f"{address}/{mask}", strict=False)


def _network_of_ipv6(interface: str, local: IPv6Address) -> IPv6Network:
    """From /proc/net/if_inet6: address, index, prefix length, scope, flags (hexadecimal), name.

    The address itself (/128) if the file does not list it.
    """
    for line in _ADDRESSES.read_text().splitlines():
        address, _, length, _, _, name = line.split()
        if name == interface and bytes.fromhex(address) == local.packed:
            return IPv6Network((local, int(length, 16)), strict=False)
    return IPv6Network(local)


def leads_elsewhere(index: int) -> bool:
    """Whether an interface is a veth whose other end is in another network namespace."""
    length = _HEADER.size + _LINK.size
    request = _HEADER.pack(length, _RTM_GETLINK, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asker:
        asker.sendto(request + _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0), (0, 0))
        answer = asker.recv(65536)
    found = dict(_attributes(answer[length:]))
    kind = dict(_attributes(found.get(_IFLA_LINKINFO, b""))).get(_IFLA_INFO_KIND, b"")
    return kind.rstrip(b"\0") == b"veth" and _IFLA_LINK_NETNSID in found


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Netlink attributes: (type, value), each padded to four bytes."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
