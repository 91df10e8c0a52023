"""Traffic class through a tunnel: every cell of RFC 6040, checksums, and frames without IP."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from tests.support.frames import arp_request, tagged
from vtep import ecn

# (inner, outer) -> delivered field, or None for a drop; 0 Not-ECT, 2 ECT(0), 1 ECT(1), 3 CE
DECAPSULATION = {
    (0, 0): 0, (0, 2): 0, (0, 1): 0, (0, 3): None,
    (2, 0): 2, (2, 2): 2, (2, 1): 1, (2, 3): 3,
    (1, 0): 1, (1, 2): 1, (1, 1): 1, (1, 3): 3,
    (3, 0): 3, (3, 2): 3, (3, 1): 3, (3, 3): 3,
}  # fmt: skip
MACS = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")


def ipv4(octet: int) -> bytes:
    return bytes(MACS / IP(src="10.0.0.1", dst="10.0.0.2", tos=octet, ttl=9) / UDP() / b"data")


def ipv6(octet: int) -> bytes:
    ip = IPv6(src="2001:db8::1", dst="2001:db8::2", tc=octet, hlim=9, fl=0xABCDE)
    return bytes(MACS / ip / UDP() / b"data")


@pytest.mark.parametrize("family", [ipv4, ipv6])
@pytest.mark.parametrize(("cell", "after"), DECAPSULATION.items())
def test_each_cell_of_the_decapsulation_table(
    family: Callable[[int], bytes], cell: tuple[int, int], after: int | None
) -> None:
    inner, outer = cell
    dscp = 0b101110 << 2
    found = ecn.decapsulated(family(dscp | inner), 0xFC | outer)
    assert found == (None if after is None else family(dscp | after))  # checksum and all


@pytest.mark.parametrize("family", [ipv4, ipv6])
@given(octet=st.integers(0, 255))
def test_the_traffic_class_is_read(family: Callable[[int], bytes], octet: int) -> None:
    assert ecn.traffic_class(family(octet)) == octet
    assert ecn.hop_limit(family(octet)) == 9
    assert ecn.traffic_class(tagged(family(octet), 5)) == octet


@given(octet=st.integers(0, 255))
def test_the_outer_octet_copies_the_mark_and_fixes_or_inherits_the_class(octet: int) -> None:
    assert ecn.outer_class(octet, 0) == octet & 3
    assert ecn.outer_class(octet, 0xB8) == 0xB8 | octet & 3
    assert ecn.outer_class(octet, None) == octet


def test_frames_without_ip_are_not_changed() -> None:
    assert ecn.outer_class(ecn.traffic_class(arp_request()), None) == 0
    assert ecn.hop_limit(arp_request()) is None
    assert ecn.decapsulated(arp_request(), 3) == arp_request()


@given(frame=st.binary(max_size=80), outer=st.integers(0, 255))
def test_no_bytes_raise_and_no_length_changes(frame: bytes, outer: int) -> None:
    found = ecn.decapsulated(frame, outer)
    assert found is None or len(found) == len(frame)
