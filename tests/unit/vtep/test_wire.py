"""The wire format, compared with Scapy byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from vtep.constants import FIRST_SOURCE_PORT, LAST_SOURCE_PORT, LAST_VNI, VXLAN_PORT
from vtep.drops import DropReason
from vtep.wire import (
    OUTER_LENGTH,
    check_header,
    encapsulate,
    ones_sum,
    outer_header,
    source_port,
)

SOURCE, GROUP = "192.0.2.11", "239.1.1.10"
RESERVED = [bit for bit in range(64) if bit != 4 and not 32 <= bit < 56]  # bit 0 is the first sent


def packet_by_scapy(vni: int, frame: bytes, checksum: bool) -> bytes:
    """The expected outer packet; its IPv4 checksum is left to the kernel."""
    ip = IP(src=SOURCE, dst=GROUP, ttl=9, flags="DF", id=0, chksum=0)
    udp = UDP(sport=50_000, dport=VXLAN_PORT, chksum=None if checksum else 0)
    return bytes(ip / udp / VXLAN(flags=0x08, vni=vni) / Raw(frame))


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("vni", [0, 1, 10, 0x123456, LAST_VNI])
@pytest.mark.parametrize("length", [14, 60, 61, 1514, 9014])
def test_a_packet_equals_the_one_built_by_scapy(vni: int, length: int, checksum: bool) -> None:
    frame = bytes(number % 251 for number in range(length))
    made = encapsulate(outer_header(SOURCE, GROUP, vni, 9, VXLAN_PORT), frame, 50_000, checksum)
    assert bytes(made).hex() == packet_by_scapy(vni, frame, checksum).hex()


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("length", [14, 61, 1514])
def test_a_packet_over_ipv6_equals_the_one_built_by_scapy(length: int, checksum: bool) -> None:
    """The checksum may also be zero, if configured (RFC 6935)."""
    frame = bytes(number % 251 for number in range(length))
    made = encapsulate(
        outer_header("2001:db8::1", "ff05::a", 10, 9, VXLAN_PORT), frame, 50_000, checksum
    )
    udp = UDP(sport=50_000, dport=VXLAN_PORT, chksum=None if checksum else 0)
    ip = IPv6(src="2001:db8::1", dst="ff05::a", hlim=9)
    assert bytes(made).hex() == bytes(ip / udp / VXLAN(flags=0x08, vni=10) / Raw(frame)).hex()


def test_vxlan_header_byte_for_byte() -> None:
    header = outer_header(SOURCE, GROUP, 0xABCDEF, 64, VXLAN_PORT)
    assert len(header) == OUTER_LENGTH
    assert header[28:] == bytes.fromhex("08000000 abcdef00")


def test_the_destination_port_is_the_configured_one() -> None:
    header = outer_header(SOURCE, GROUP, 10, 64, 8472)
    assert header[22:24] == (8472).to_bytes(2, "big")


def test_a_header_is_used_for_many_packets() -> None:
    header = outer_header(SOURCE, GROUP, 10, 64, VXLAN_PORT)
    first = encapsulate(header, b"a" * 60, 50_000, True)
    encapsulate(header, b"b" * 99, 60_000, True)
    assert encapsulate(header, b"a" * 60, 50_000, True) == first


@given(st.binary(min_size=14, max_size=200))
def test_udp_checksum_is_never_zero_and_always_right(frame: bytes) -> None:
    made = encapsulate(outer_header(SOURCE, GROUP, 10, 9, VXLAN_PORT), frame, 50_000, True)
    stated = int.from_bytes(made[26:28], "big")
    assert stated
    pseudo = bytes(made[12:20]) + b"\0\x11" + bytes(made[24:26])
    assert (
        ones_sum(pseudo + bytes(made[20:]).ljust(len(made) - 20 + len(made) % 2, b"\0")) == 0xFFFF
    )


def test_a_checksum_of_zero_is_sent_as_all_ones() -> None:
    header = outer_header(SOURCE, GROUP, 10, 9, VXLAN_PORT)
    plain = encapsulate(header, bytes(16), 50_000, True)
    frame = bytes(14) + plain[26:28]  # completes the sum to all ones
    assert encapsulate(header, frame, 50_000, True)[26:28] == b"\xff\xff"


def with_bits(*bits: int) -> bytes:
    """A VXLAN header of VNI 10 with the I flag and more bits set, counted from the first sent."""
    number = 0x08000000_00000A00
    for bit in bits:
        number |= 1 << 63 - bit
    return number.to_bytes(8, "big")


def test_there_are_39_reserved_bits() -> None:
    assert len(RESERVED) == 39


@pytest.mark.parametrize("bit", RESERVED)
def test_each_reserved_bit_is_ignored_and_in_strict_mode_refused(bit: int) -> None:
    assert check_header(with_bits(bit), strict=False) == 10
    assert check_header(with_bits(bit), strict=True) is DropReason.RESERVED_BITS


def test_all_reserved_bits_together_are_ignored() -> None:
    assert check_header(with_bits(*RESERVED), strict=False) == 10


@pytest.mark.parametrize("strict", [False, True])
def test_a_header_without_the_i_flag_is_refused_whatever_else_is_set(strict: bool) -> None:
    for others in (b"\x00", b"\xf7"):
        header = others + with_bits()[1:]
        assert check_header(header, strict) is DropReason.VNI_FLAG_CLEAR


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("length", range(8))
def test_a_short_header_is_refused(length: int, strict: bool) -> None:
    assert check_header(with_bits()[:length], strict) is DropReason.SHORT_HEADER


@given(st.integers(0, LAST_VNI), st.booleans())
def test_every_vni_is_read(vni: int, strict: bool) -> None:
    made = outer_header(SOURCE, GROUP, vni, 64, VXLAN_PORT)
    found = check_header(made[28:], strict)
    assert found == vni and type(found) is int


@given(st.integers(0, 0xFFFFFFFF))
def test_source_ports_are_in_the_dynamic_range(flow: int) -> None:
    assert 49152 <= source_port(flow, FIRST_SOURCE_PORT, LAST_SOURCE_PORT) <= 65535


def test_both_ends_of_the_source_port_range_are_used() -> None:
    assert [source_port(flow, 7, 9) for flow in range(4)] == [7, 8, 9, 7]
    assert source_port(0xFFFFFFFF, 5, 5) == 5


@pytest.mark.parametrize("filling", [0x00, 0x01, 0xFE, 0xFF])
@pytest.mark.parametrize("length", [599, 600, 601, 1451, 9014, 65_535])
def test_ones_sum_of_long_data_is_that_of_rfc_1071(length: int, filling: int) -> None:
    data = bytes((filling,)) * (length - 2) + b"\x12\x34"
    words = (data + bytes(length & 1))[::2], (data + bytes(length & 1))[1::2]
    total = 256 * sum(words[0]) + sum(words[1])
    assert ones_sum(data) == (total - 1) % 0xFFFF + 1
    assert ones_sum(bytes(length)) == 0


@given(st.binary(max_size=64))
def test_ones_sum_is_that_of_rfc_1071(data: bytes) -> None:
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    assert ones_sum(data) == total
