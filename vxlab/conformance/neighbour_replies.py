"""Replies to ARP requests and neighbour solicitations for the addresses the test bed simulates."""

from __future__ import annotations

import ipaddress

from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from vxlab.conformance.frames import mac_of, untagged

_ARP, _IPV6 = b"\x08\x06", b"\x86\xdd"
_SOLICITATION = 135


def reply_to(packet: bytes, own: frozenset[str]) -> bytes | None:
    """The reply to an ARP request or neighbour solicitation; None if none is due.

    own: the addresses of the VTEP under test, which replies for these itself.
    """
    plain = untagged(packet)
    reply = None
    if plain[12:14] == _ARP:
        reply = _arp(Ether(plain), own)
    elif (
        plain[12:14] == _IPV6
        and plain[20:21] == b"\x3a"
        and plain[54:55] == bytes((_SOLICITATION,))
    ):
        reply = _advertise(Ether(plain), own)
    if reply is not None and plain is not packet:
        return reply[:12] + packet[12:16] + reply[12:]
    return reply


def _arp(solicited: Ether, own: frozenset[str]) -> bytes | None:
    request = solicited[ARP]
    if request.op != 1 or request.pdst in own:
        return None
    mac = mac_of(request.pdst)
    reply = ARP(op=2, hwsrc=mac, psrc=request.pdst, hwdst=request.hwsrc, pdst=request.psrc)
    return bytes(Ether(src=mac, dst=solicited.src) / reply)


def _advertise(solicited: Ether, own: frozenset[str]) -> bytes | None:
    target = str(ipaddress.ip_address(solicited[ICMPv6ND_NS].tgt))
    source = str(ipaddress.ip_address(solicited[IPv6].src))
    if target in own or source == "::":
        return None
    mac = mac_of(target)
    reply = ICMPv6ND_NA(tgt=target, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac)
    return bytes(Ether(src=mac, dst=solicited.src) / IPv6(src=target, dst=source, hlim=255) / reply)
