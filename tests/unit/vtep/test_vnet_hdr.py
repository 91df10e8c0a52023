"""Completing offloads of a VM; Scapy computes the expected frames."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from tests.support import frames
from tests.support.frames import A_IP, A_IP6, B_IP, B_IP6, A, B, tagged
from vtep.vnet_hdr import LENGTH, VnetHeader, finish, parse

NEEDS_CHECKSUM = 1
TCPV4, UFO, TCPV6, UDP_L4, ECN = 1, 3, 4, 5, 0x80
Make = Callable[..., bytes]
NO_WORK = VnetHeader(0, 0, 0, 0, 0, 0)


def offload(kind: int, size: int, frame: bytes, tags: int = 0) -> VnetHeader:
    """The header that the kernel adds to a super-frame of a known layout."""
    ipv6 = frame[12 + 4 * tags : 14 + 4 * tags] == b"\x86\xdd"
    start = 14 + 4 * tags + (40 if ipv6 else 20)
    place = 6 if kind & ~ECN == UDP_L4 else 16
    return VnetHeader(NEEDS_CHECKSUM, kind, 0, size, start, place)


def finished(left: VnetHeader, frame: bytes) -> list[bytes]:
    pieces = finish(left, frame)
    assert pieces is not None
    return pieces


def with_fresh_sums(frame: bytes) -> bytes:
    """The frame with all lengths and checksums computed anew by Scapy."""
    read = Ether(frame)
    for layer, fields in ((IP, ("len", "chksum")), (IPv6, ("plen",)), (TCP, ("chksum",)),
                          (UDP, ("len", "chksum"))):  # fmt: skip
        for field in fields if layer in read else ():
            delattr(read[layer], field)
    return bytes(read)


def cut(kind: int, size: int, frame: bytes) -> list[Packet]:
    """The segments as Scapy packets; each equals what Scapy rebuilds from it."""
    pieces = finished(offload(kind, size, frame), frame)
    for piece in pieces:
        assert piece.hex() == with_fresh_sums(piece).hex()
    return [Ether(piece) for piece in pieces]


def payloads(pieces: list[Packet], layer: type[Packet]) -> list[bytes]:
    return [bytes(piece[layer].payload) for piece in pieces]


def with_partial_sum(frame: bytes, start: int, offset: int, pseudo: bytes) -> bytes:
    """The frame with a partial checksum: the pseudo-header's sum."""
    partial = 0xFFFF - checksum(pseudo)
    return frame[: start + offset] + struct.pack("!H", partial) + frame[start + offset + 2 :]


# -- the header


def test_the_header_is_virtio_net_hdr() -> None:
    header = struct.pack("=BBHHHH", 1, 0x81, 54, 1448, 34, 16)
    assert len(header) == LENGTH
    assert parse(header) == VnetHeader(1, 0x81, 54, 1448, 34, 16)
    assert not parse(header).is_empty
    assert parse(bytes(LENGTH)).is_empty
    assert parse(bytes((2,)) + bytes(9)).is_empty, "2: the checksum is right already"


def test_a_frame_without_pending_offloads_is_not_changed() -> None:
    frame = frames.tcp(payload=b"x")
    assert finish(NO_WORK, frame) == finish(NO_WORK._replace(gso_type=ECN), frame) == [frame]


# -- partial checksums


@pytest.mark.parametrize("length", [0, 1, 2, 555, 1460])
@pytest.mark.parametrize("tags", [0, 1, 2])
@pytest.mark.parametrize(
    ("make", "protocol", "offset"),
    [(frames.tcp, 6, 16), (frames.udp, 17, 6), (frames.tcp6, 6, 16), (frames.udp6, 17, 6)],
)
def test_a_partial_checksum_is_completed(
    make: Make, protocol: int, offset: int, tags: int, length: int
) -> None:
    right = make(payload=b"\xa5" * length)
    ipv6 = right[12:14] == b"\x86\xdd"
    start = 54 if ipv6 else 34
    addresses = right[22:54] if ipv6 else right[26:34]
    pseudo = addresses + struct.pack("!HH", protocol, len(right) - start)
    partial = with_partial_sum(right, start, offset, pseudo)
    assert partial != right
    work = VnetHeader(NEEDS_CHECKSUM, 0, 0, 0, start + 4 * tags, offset)
    vlans = (5,) * tags
    assert finished(work, tagged(partial, *vlans)) == [tagged(right, *vlans)]


def test_a_checksum_of_zero_is_written_as_all_ones() -> None:
    frame = bytes(14) + b"\xff\xfe\x00\x01"
    (done,) = finished(VnetHeader(NEEDS_CHECKSUM, 0, 0, 0, 14, 2), frame)
    assert done[16:] == b"\xff\xff"


@pytest.mark.parametrize(("start", "offset"), [(59, 0), (0, 59), (34, 26), (65535, 65535)])
def test_a_checksum_beyond_the_frame_is_refused(start: int, offset: int) -> None:
    assert finish(VnetHeader(NEEDS_CHECKSUM, 0, 0, 0, start, offset), bytes(60)) is None


# -- TCP


@pytest.mark.parametrize(("make", "kind"), [(frames.tcp, TCPV4), (frames.tcp6, TCPV6)])
@pytest.mark.parametrize(
    ("length", "size", "sizes"),
    [
        (3000, 1000, [1000, 1000, 1000]),
        (3001, 1000, [1000, 1000, 1000, 1]),
        (2999, 1001, [1001, 1001, 997]),
        (10, 1448, [10]),
        (5, 1, [1] * 5),
        (60_000, 1448, [1448] * 41 + [632]),
    ],
)
def test_a_super_frame_is_segmented_into_complete_frames(
    make: Make, kind: int, length: int, size: int, sizes: list[int]
) -> None:
    sent = bytes(number % 253 for number in range(length))
    pieces = cut(kind, size, make(seq=1000, ack=7, flags="A", payload=sent))
    parts = payloads(pieces, TCP)
    assert [len(part) for part in parts] == sizes
    assert b"".join(parts) == sent
    assert [piece[TCP].seq for piece in pieces] == [
        1000 + sum(sizes[:n]) for n in range(len(sizes))
    ]
    assert {(piece[TCP].ack, str(piece[TCP].flags)) for piece in pieces} == {(7, "A")}


def test_push_and_fin_are_on_the_last_segment_only_and_cwr_on_the_first() -> None:
    pieces = cut(TCPV4 | ECN, 100, frames.tcp(flags="FPACU", payload=b"x" * 350))
    assert [str(piece[TCP].flags) for piece in pieces] == ["AUC", "AU", "AU", "FPAU"]


def test_one_segment_keeps_all_its_flags() -> None:
    (piece,) = cut(TCPV4, 100, frames.tcp(flags="FPAC", payload=b"x" * 100))
    assert str(piece[TCP].flags) == "FPAC"


def test_sequence_numbers_and_identifications_wrap() -> None:
    segment = IP(src=A_IP, dst=B_IP, id=0xFFFF) / TCP(seq=0xFFFFFFFF, flags="A")
    pieces = cut(TCPV4, 10, bytes(Ether(src=A, dst=B) / segment / Raw(b"x" * 25)))
    assert [piece[TCP].seq for piece in pieces] == [0xFFFFFFFF, 9, 19]
    assert [piece[IP].id for piece in pieces] == [0xFFFF, 0, 1]


def test_tcp_and_ip_options_are_in_every_segment() -> None:
    timestamps = [("NOP", None), ("NOP", None), ("Timestamp", (5, 6))]
    head = IP(src=A_IP, dst=B_IP, options=[IPOption_NOP()] * 4) / TCP(flags="A", options=timestamps)
    frame = bytes(Ether(src=A, dst=B) / head / Raw(b"x" * 250))
    left = VnetHeader(NEEDS_CHECKSUM, TCPV4, 0, 100, 14 + 24, 16)
    pieces = finished(left, frame)
    assert [piece.hex() for piece in pieces] == [with_fresh_sums(piece).hex() for piece in pieces]
    assert all(Ether(piece)[TCP].options == timestamps for piece in pieces)
    assert [len(piece) for piece in pieces] == [14 + 24 + 32 + size for size in (100, 100, 50)]


def test_the_length_includes_extension_headers() -> None:
    head = IPv6(src=A_IP6, dst=B_IP6) / IPv6ExtHdrDestOpt() / TCP(flags="A")
    frame = bytes(Ether(src=A, dst=B) / head / Raw(b"x" * 250))
    pieces = finished(VnetHeader(NEEDS_CHECKSUM, TCPV6, 0, 100, 14 + 48, 16), frame)
    assert [piece.hex() for piece in pieces] == [with_fresh_sums(piece).hex() for piece in pieces]
    assert len(pieces) == 3


@pytest.mark.parametrize("tags", [1, 2])
@pytest.mark.parametrize(("make", "kind"), [(frames.tcp, TCPV4), (frames.tcp6, TCPV6)])
def test_tags_are_on_every_segment(make: Make, kind: int, tags: int) -> None:
    plain = make(flags="A", payload=b"x" * 250)
    frame = tagged(plain, *(5,) * tags)
    assert finished(offload(kind, 100, frame, tags), frame) == [
        tagged(piece, *(5,) * tags) for piece in finished(offload(kind, 100, plain), plain)
    ]


# -- UDP


@pytest.mark.parametrize("make", [frames.udp, frames.udp6])
@pytest.mark.parametrize(("length", "size"), [(3000, 1000), (3001, 1000), (999, 333), (7, 2)])
def test_a_udp_super_frame_is_segmented(make: Make, length: int, size: int) -> None:
    sent = bytes(number % 253 for number in range(length))
    pieces = cut(UDP_L4, size, make(payload=sent))
    parts = payloads(pieces, UDP)
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert b"".join(parts) == sent
    assert all(piece[UDP].chksum for piece in pieces), "zero would mean none"
    assert [piece[UDP].len for piece in pieces] == [8 + len(part) for part in parts]


# -- invalid input


GOOD = frames.tcp(flags="A", payload=b"x" * 3000)
GOOD6 = frames.tcp6(flags="A", payload=b"x" * 3000)
LEFT, LEFT6 = offload(TCPV4, 1000, GOOD), offload(TCPV6, 1000, GOOD6)


def patched(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes((value,)) + frame[at + 1 :]


@pytest.mark.parametrize(
    ("left", "frame"),
    [
        (LEFT._replace(segment_size=0), GOOD),
        (LEFT._replace(gso_type=UFO), GOOD),
        (LEFT._replace(gso_type=2), GOOD),
        (LEFT._replace(gso_type=0x7F), GOOD),
        (LEFT._replace(checksum_start=0), GOOD),
        (LEFT._replace(checksum_start=33), GOOD),
        (LEFT._replace(checksum_start=len(GOOD)), GOOD),
        (LEFT._replace(checksum_start=38), GOOD),
        (LEFT._replace(gso_type=TCPV6), GOOD),
        (LEFT6._replace(gso_type=TCPV4), GOOD6),
        (LEFT6._replace(checksum_start=34), GOOD6),
        (LEFT6._replace(checksum_start=34, gso_type=UDP_L4), GOOD6[:43]),
        (LEFT, GOOD[:54]),
        (LEFT, GOOD[:53]),
        (LEFT, b""),
        (LEFT, patched(GOOD, 14, 0x46)),
        (LEFT, patched(GOOD, 14, 0x75)),
        (LEFT, patched(GOOD, 46, 0x40)),
        (LEFT, patched(GOOD, 46, 0xF0)[:80]),
        (LEFT._replace(segment_size=65_535), GOOD + bytes(63_000)),
        (LEFT6._replace(segment_size=65_535), GOOD6 + bytes(65_000)),
    ],
)
def test_inconsistent_headers_are_refused(left: VnetHeader, frame: bytes) -> None:
    assert finish(left, frame) is None


words = st.one_of(st.integers(0, 90), st.integers(0, 0xFFFF))


@settings(max_examples=300)
@given(
    st.builds(VnetHeader, st.integers(0, 255), st.sampled_from([0, 1, 3, 4, 5, 0x81, 0x84, 255]),
              words, words, words, words),
    st.sampled_from([GOOD[:200], GOOD6[:200], tagged(GOOD, 5)[:200], b""]),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4),
    st.binary(max_size=100),
)  # fmt: skip
def test_no_header_or_frame_raises(
    left: VnetHeader, frame: bytes, patches: list[tuple[int, int]], rest: bytes
) -> None:
    for at, value in patches:
        frame = patched(frame, at, value) if at < len(frame) else frame
    for each in (frame, rest, frame + rest):
        pieces = finish(left, each)
        assert pieces is None or all(isinstance(piece, bytes) for piece in pieces)


@given(st.binary(min_size=1, max_size=500), st.integers(1, 200), st.booleans())
def test_any_payload_reassembles_at_any_size(payload: bytes, size: int, ipv6: bool) -> None:
    make, kind = (frames.tcp6, TCPV6) if ipv6 else (frames.tcp, TCPV4)
    frame = make(flags="A", payload=payload)
    head = len(frame) - len(payload)
    pieces = finished(offload(kind, size, frame), frame)
    assert b"".join(piece[head:] for piece in pieces) == payload
    assert max(len(piece) - head for piece in pieces) == min(size, len(payload))
