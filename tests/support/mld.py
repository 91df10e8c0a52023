"""MLD frames as Linux hosts and routers send them, built by Scapy; all functions return bytes."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLDone,
    ICMPv6MLQuery,
    ICMPv6MLQuery2,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

ALL_NODES, ALL_ROUTERS, ALL_MLDV2_ROUTERS = "ff02::1", "ff02::2", "ff02::16"
ROUTER = "fe80::1"


def address(number: int) -> str:
    """A host's link-local address."""
    return f"fe80::{number:x}"


def wrapped(
    message: Packet, to: str, source: str = ROUTER, mac: bytes = b"\2\0\0\0\0\x99", **ip: Any
) -> bytes:
    """A message in Ethernet and IPv6: Hop-by-Hop header with Router Alert, hop limit 1."""
    header = IPv6(**{"src": source, "dst": to, "hlim": 1, **ip})
    alert = IPv6ExtHdrHopByHop(options=[RouterAlert(value=0)])
    return bytes(Ether(src=mac.hex(":")) / header / alert / message)


def report(source: str, *records: tuple[int, str, int], mac: bytes = b"\2\0\0\0\0\1") -> bytes:
    """A version 2 report with records of (type, group, number of sources)."""
    rows = [
        ICMPv6MLDMultAddrRec(rtype=kind, dst=group, sources=["2001:db8::1"] * sources)
        for kind, group, sources in records
    ]
    return wrapped(ICMPv6MLReport2(records=rows), ALL_MLDV2_ROUTERS, source, mac)


def old_report(source: str, group: str, mac: bytes = b"\2\0\0\0\0\1") -> bytes:
    """A version 1 report, which is sent to the group itself."""
    return wrapped(ICMPv6MLReport(mladdr=group), group, source, mac)


def done(source: str, group: str, mac: bytes = b"\2\0\0\0\0\1") -> bytes:
    """A version 1 Done message."""
    return wrapped(ICMPv6MLDone(mladdr=group), ALL_ROUTERS, source, mac)


def query(
    group: str = "::",
    version: int = 2,
    source: str = ROUTER,
    mac: bytes = b"\2\0\0\0\0\x99",
    hlim: int = 1,
    **fields: Any,
) -> bytes:
    """A router's query, general or for one group."""
    kind = ICMPv6MLQuery2 if version == 2 else ICMPv6MLQuery
    to = ALL_NODES if group == "::" else group
    return wrapped(kind(mladdr=group, **fields), to, source, mac, hlim=hlim)
