"""Packets as text: outer and inner headers are kept apart, whatever the address families."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from vxlab.capture.decode import encapsulated, one_line
from vxlab.capture.packets import INBOUND, OUTBOUND, CapturedPacket

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


def line_of(frame: Packet) -> str:
    return one_line(
        CapturedPacket(1_000_000_000_123_456_789, "hv1", "hv1-trunk", INBOUND, bytes(frame))
    )


def test_a_line_shows_vlan_ids_outer_tag_first() -> None:
    ether = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
    tagged = line_of(ether / Dot1Q(vlan=7) / Dot1Q(vlan=9) / IP(dst="10.0.0.2") / ICMP())
    assert "02:00:00:00:00:0a -> 02:00:00:00:00:0b VLAN 7 VLAN 9 IP / ICMP" in tagged
    asked = line_of(ether / Dot1Q(vlan=7) / ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"))
    assert asked.endswith("VLAN 7 ARP who-has 10.0.0.2 tell 10.0.0.1")
    assert "VLAN" not in line_of(ether / IP(dst="10.0.0.2") / ICMP())


def test_a_line_shows_the_vlan_id_inside_a_tunnel() -> None:
    inner = (
        Ether(src="02:00:00:00:00:0a", dst="ff:ff:ff:ff:ff:ff")
        / Dot1Q(vlan=5)
        / IP(dst="10.0.0.2")
        / ICMP()
    )
    outer = Ether() / FOUR[0] / UDP(sport=50_000, dport=4789) / VXLAN(flags=0x08, vni=10)
    assert "VNI 10: 02:00:00:00:00:0a -> ff:ff:ff:ff:ff:ff VLAN 5 IP / ICMP" in line_of(
        outer / inner
    )


def test_a_line_shows_the_time_to_the_nanosecond() -> None:
    assert line_of(Ether() / IP()).split()[0].endswith(":40.123456789")


def test_a_line_names_lldp_and_igmp() -> None:
    ether = Ether(src="02:00:00:00:00:0a", dst="01:00:5e:00:00:16")
    assert line_of(Ether(dst="01:80:c2:00:00:0e", type=0x88CC) / b"\x02\x07").endswith(" LLDP")
    for first, kind in ((0x11, "query"), (0x22, "report"), (0x17, "leave"), (0x99, "message")):
        packet = ether / IP(src="192.0.2.11", dst="224.0.0.22", proto=2) / bytes([first, 0, 0, 0])
        assert line_of(packet).endswith(f"IGMP {kind} 192.0.2.11 -> 224.0.0.22")
