"""Frames from a tunnel with partial checksums: detected, and described to the kernel."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.support.frames import arp_request, echo, tagged
from vtep.vnet_hdr import VnetHeader, finish, pack, parse, pending_offloads
from vtep.wire import ones_sum

MTU = 1500
MACS = Ether(
    src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b"
)  # given, so that Scapy does not resolve them
ENDS = {4: IP(src="10.0.0.1", dst="10.0.0.2"), 6: IPv6(src="2001:db8::1", dst="2001:db8::2")}
NEEDS_CHECKSUM, TCP4, TCP6, ECN = 1, 1, 4, 0x80


def whole(version: int, transport: Packet, payload: bytes) -> bytes:
    return bytes(MACS / ENDS[version] / transport / payload)


def undone(frame: bytes, protocol: int = 6) -> bytes:
    """The frame with a partial checksum: the pseudo-header's sum."""
    start, addresses = (34, frame[26:34]) if frame[12:14] == b"\x08\x00" else (54, frame[22:54])
    place = start + (16 if protocol == 6 else 6)
    pseudo = addresses + struct.pack("!HH", protocol, len(frame) - start)
    return frame[:place] + ones_sum(pseudo).to_bytes(2, "big") + frame[place + 2 :]


def described(frame: bytes) -> VnetHeader:
    left = pending_offloads(frame, MTU)
    assert left is not None
    return left


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("layer", "protocol"), [(TCP, 6), (UDP, 17)])
@given(payload=st.binary(max_size=1400))
def test_a_partial_checksum_is_described_so_that_finishing_completes_it(
    version: int, layer: Any, protocol: int, payload: bytes
) -> None:
    frame = whole(version, layer(sport=5, dport=6), payload)
    left = described(undone(frame, protocol))
    assert (left.flags, left.gso_type) == (NEEDS_CHECKSUM, 0)
    assert finish(left, undone(frame, protocol)) == [with_zero_as_all_ones(frame, protocol)]


def with_zero_as_all_ones(frame: bytes, protocol: int) -> bytes:
    """RFC 1071: both mean zero; all ones is required for UDP and used for TCP, too."""
    place = (34 if frame[12:14] == b"\x08\x00" else 54) + (16 if protocol == 6 else 6)
    checksum = frame[place : place + 2].replace(b"\0\0", b"\xff\xff")
    return frame[:place] + checksum + frame[place + 2 :]


@pytest.mark.parametrize("version", [4, 6])
@given(payload=st.binary(max_size=1400))
def test_a_complete_frame_is_not_changed(version: int, payload: bytes) -> None:
    frame = whole(version, TCP(sport=5, dport=6), payload)
    left = pending_offloads(frame, MTU)
    assert left is None or finish(left, frame) == [frame]  # one in 65,535 looks partial


@pytest.mark.parametrize(("version", "kind", "headers"), [(4, TCP4, 40), (6, TCP6, 60)])
@pytest.mark.parametrize(("flags", "more"), [("A", 0), ("AEC", ECN)])
def test_a_super_frame_is_to_be_segmented_to_the_mtu_of_the_port(
    version: int, kind: int, headers: int, flags: str, more: int
) -> None:
    payload = bytes(range(256)) * 40
    frame = undone(whole(version, TCP(sport=5, dport=6, flags=flags), payload))
    left = described(frame)
    assert (left.gso_type, left.segment_size) == (kind | more, MTU - headers)
    assert left.header_length == 14 + headers
    pieces = finish(left, frame)
    assert pieces is not None
    assert max(map(len, pieces)) == 14 + MTU
    assert b"".join(piece[14 + headers :] for piece in pieces) == payload


def test_a_tag_moves_the_offsets_by_four_bytes() -> None:
    frame = undone(whole(4, TCP(sport=5, dport=6), b"x"))
    assert described(tagged(frame, 7)).checksum_start == described(frame).checksum_start + 4


@pytest.mark.parametrize(
    "frame",
    [
        arp_request(),
        echo(),
        whole(4, UDP(sport=5, dport=6, chksum=0), b"no checksum wanted"),
        undone(bytes(MACS / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / TCP() / b"xx")),
        undone(whole(4, TCP(), b"cut short"))[:-1],
        b"",
        bytes(13),
        b"\x81\x00" * 20,
    ],
)
def test_frames_without_a_partial_checksum(frame: bytes) -> None:
    assert pending_offloads(frame, MTU) is None


@given(
    head=st.sampled_from([bytes(12) + b"\x08\x00", bytes(12) + b"\x86\xdd", b""]),
    first=st.sampled_from([b"\x45", b"\x4f", b"\x60", b"\x00"]),
    rest=st.binary(max_size=90),
)
def test_no_bytes_raise(head: bytes, first: bytes, rest: bytes) -> None:
    pending_offloads(head + first + rest, 68)


def test_a_packed_header_is_parsed_unchanged() -> None:
    left = VnetHeader(NEEDS_CHECKSUM, TCP4 | ECN, 54, 1448, 34, 16)
    assert parse(pack(left)) == left
