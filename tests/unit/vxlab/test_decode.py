"""Packets in words: the outer header is told from the inner one, whatever the families."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from vxlab.capture.decode import encapsulated
from vxlab.capture.packets import OUTBOUND, CapturedPacket

FOUR = (IP(src="192.0.2.11", dst="239.1.1.10", ttl=9), "outer IPv4", "TTL 9")
SIX = (IPv6(src="2001:db8::b", dst="ff05::ef01:10a", hlim=9), "outer IPv6", "hop limit 9")
INNER = (IP(dst="10.0.0.2") / UDP(dport=4789), IPv6(dst="2001:db8:1::2") / UDP(dport=4789))


@pytest.mark.parametrize("inner", INNER, ids=["inner IPv4", "inner IPv6"])
@pytest.mark.parametrize(("ip", "title", "lifetime"), [FOUR, SIX], ids=["over IPv4", "over IPv6"])
def test_the_outer_header_is_read_whatever_the_inner_one_is(
    ip: IP | IPv6, title: str, lifetime: str, inner: IP | IPv6
) -> None:
    vxlan = VXLAN(flags=0x08, vni=10)
    outer = Ether(dst="02:00:00:00:00:02") / ip / UDP(sport=50_000, dport=4789) / vxlan
    frame = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / inner
    found = encapsulated(CapturedPacket(0, "hv1", "hv1-eth0", OUTBOUND, bytes(outer / frame)))
    assert found is not None
    assert (found.source, found.destination, found.vni) == (ip.src, ip.dst, 10)
    fields = dict(found.fields())
    assert lifetime in fields[title]
    assert fields[title].startswith(f"{ip.src} -> {ip.dst}")
