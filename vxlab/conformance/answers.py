"""What the bench says on the underlay by itself: it answers for the addresses it plays."""

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


def answer(packet: bytes, own: frozenset[str]) -> bytes | None:
    """The answer to an ARP request or neighbour solicitation for an address that is not `own`."""
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


def _arp(asked: Ether, own: frozenset[str]) -> bytes | None:
    question = asked[ARP]
    if question.op != 1 or question.pdst in own:
        return None
    mac = mac_of(question.pdst)
    said = ARP(op=2, hwsrc=mac, psrc=question.pdst, hwdst=question.hwsrc, pdst=question.psrc)
    return bytes(Ether(src=mac, dst=asked.src) / said)


def _advertise(asked: Ether, own: frozenset[str]) -> bytes | None:
    wanted = str(ipaddress.ip_address(asked[ICMPv6ND_NS].tgt))
    source = str(ipaddress.ip_address(asked[IPv6].src))
    if wanted in own or source == "::":
        return None
    mac = mac_of(wanted)
    said = ICMPv6ND_NA(tgt=wanted, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac)
    return bytes(Ether(src=mac, dst=asked.src) / IPv6(src=wanted, dst=source, hlim=255) / said)
