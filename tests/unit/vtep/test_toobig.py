"""ICMP messages about packets that are too big: well-formed, and never about an ICMP error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP, ICMPerror, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether

from tests.support.frames import arp_request, tagged
from vtep.toobig import too_big

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
MACS = Ether(src=A, dst=B)
BIG4 = MACS / IP(src="10.0.0.1", dst="10.0.0.2", flags="DF") / UDP(sport=5, dport=6) / bytes(1500)
BIG6 = MACS / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=5, dport=6) / bytes(1500)


def test_ipv4_gets_fragmentation_needed() -> None:
    answer = Ether(too_big(bytes(BIG4), 1450))
    assert (answer.src, answer.dst) == (B, A)
    assert (answer[IP].src, answer[IP].dst) == ("10.0.0.2", "10.0.0.1")
    assert (answer[ICMP].type, answer[ICMP].code, answer[ICMP].nexthopmtu) == (3, 4, 1450)
    assert (answer[IPerror].dst, answer[UDPerror].dport) == ("10.0.0.2", 6)
    assert ICMPerror not in answer
    remade = answer.copy()
    del remade[IP].chksum, remade[ICMP].chksum
    assert bytes(remade) == bytes(answer)


def test_ipv6_gets_packet_too_big() -> None:
    answer = Ether(too_big(bytes(BIG6), 1450))
    assert (answer[IPv6].src, answer[IPv6].dst) == ("2001:db8::2", "2001:db8::1")
    assert answer[ICMPv6PacketTooBig].mtu == 1450
    assert len(answer[IPv6]) == 1280  # RFC 4443: as much as fits the least MTU
    remade = answer.copy()
    del remade[ICMPv6PacketTooBig].cksum
    assert bytes(remade) == bytes(answer)


def test_the_message_has_the_tags_of_the_frame() -> None:
    answer = too_big(tagged(bytes(BIG4), 7), 1446)
    assert answer is not None
    assert answer[12:16] == bytes.fromhex("81000007")


def error4(kind: int) -> bytes:
    return bytes(MACS / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=kind) / bytes(1500))


@pytest.mark.parametrize(
    "frame",
    [
        arp_request(),
        error4(3),
        error4(11),
        bytes(MACS / IP(src="10.0.0.1", dst="10.0.0.2", frag=100) / bytes(1500)),
        bytes(Ether(src=A, dst="01:00:5e:00:00:01") / BIG4[IP]),
        bytes(MACS / IPv6() / ICMPv6PacketTooBig() / bytes(1500)),
    ],
)
def test_frames_for_which_no_message_is_permitted(frame: bytes) -> None:
    assert too_big(frame, 1450) is None


def test_an_echo_request_causes_a_message() -> None:
    assert too_big(error4(8), 1450) is not None


@given(frame=st.binary(max_size=120), mtu=st.integers(68, 70_000))
def test_no_bytes_raise(frame: bytes, mtu: int) -> None:
    too_big(frame, mtu)
