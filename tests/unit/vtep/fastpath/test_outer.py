"""The outer headers of packets that the program leaves to the agent."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from vtep.drops import DropReason
from vtep.fastpath.outer import datagram

GROUP = "239.1.1.10"
PAYLOAD = b"\x08\0\0\0\0\0\x0a\0" + bytes(range(60))


def packet(to: str = "192.0.2.1", **udp: int) -> bytes:
    ip = IP(src="192.0.2.11", dst=to, tos=0x2B)
    return bytes(Ether() / ip / UDP(sport=50_000, dport=4789, **udp) / Raw(PAYLOAD))


def test_a_packet_without_checksum_is_read() -> None:
    assert datagram(packet(chksum=0), ()) == ("192.0.2.11", 50_000, False, 0x2B, PAYLOAD)


def test_a_correct_checksum_is_accepted_and_a_wrong_one_is_the_drop_reason() -> None:
    right = packet()
    assert right[40:42] != b"\0\0"
    assert datagram(right, ()) == datagram(packet(chksum=0), ())
    wrong = bytearray(right)
    wrong[-1] ^= 1
    assert datagram(bytes(wrong), ()) is DropReason.UDP_CHECKSUM


@pytest.mark.parametrize("odd", [PAYLOAD, PAYLOAD[:-1]])
def test_a_checksum_over_an_odd_length_is_verified(odd: bytes) -> None:
    made = bytes(Ether() / IP(dst="192.0.2.1") / UDP(sport=1, dport=4789) / Raw(odd))
    found = datagram(made, ())
    assert isinstance(found, tuple) and found[4] == odd


def test_packets_of_joined_groups_only_are_accepted() -> None:
    found = datagram(packet(GROUP, chksum=0), {GROUP})
    assert isinstance(found, tuple) and found[2] is True
    assert datagram(packet(GROUP, chksum=0), {"239.1.1.11"}) is None


# -- the same over IPv6

GROUP6 = "ff05::a"


def packet6(to: str = "2001:db8::1", **udp: int) -> bytes:
    ip = IPv6(src="2001:db8::11", dst=to, tc=0x2B)
    return bytes(Ether() / ip / UDP(sport=50_000, dport=4789, **udp) / Raw(PAYLOAD))


def test_a_packet_over_ipv6_is_read_with_and_without_checksum() -> None:
    expected = ("2001:db8::11", 50_000, False, 0x2B, PAYLOAD)
    assert packet6()[60:62] != b"\0\0"
    assert datagram(packet6(), ()) == datagram(packet6(chksum=0), ()) == expected


def test_a_wrong_checksum_over_ipv6_is_the_drop_reason() -> None:
    wrong = bytearray(packet6())
    wrong[-1] ^= 1
    assert datagram(bytes(wrong), ()) is DropReason.UDP_CHECKSUM


def test_packets_of_joined_ipv6_groups_only_are_accepted() -> None:
    found = datagram(packet6(GROUP6, chksum=0), {GROUP6})
    assert isinstance(found, tuple) and found[2] is True
    assert datagram(packet6(GROUP6, chksum=0), {"ff05::b"}) is None


@pytest.mark.parametrize("whole", [packet(chksum=0), packet6(chksum=0)])
def test_a_packet_too_short_for_its_headers_is_dropped(whole: bytes) -> None:
    headers = len(whole) - len(PAYLOAD)
    for length in range(headers):
        assert datagram(whole[:length], {}) is DropReason.SHORT_HEADER
    found = datagram(whole[:headers], {})
    assert isinstance(found, tuple) and found[4] == b""
