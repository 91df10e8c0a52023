"""A million damaged frames and packets for every parser outside the core.

`test_million.py` does the same for the core. No input raises an exception, and each result is
checked without using the code under test. A check returns whether the bytes were accepted, so that
a parser that refuses everything fails.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import cache

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import checksum

from tests.support.frames import (
    A_IP6,
    B_IP6,
    A,
    B,
    arp_reply,
    arp_request,
    echo,
    echo6,
    plain,
    solicitation6,
    tagged,
    tcp,
    tcp6,
    udp,
    udp6,
)
from tests.support.mutation import Memory, mutated
from vtep import arp_suppression, ecn, ethernet, toobig, vnet_hdr
from vtep.drops import DropReason
from vtep.fastpath import outer
from vtep.tcp_merge import TcpRun, may_begin, merge
from vtep.udp_gso import split_datagrams
from vtep.vnet_hdr import VnetHeader

MTU, LIMIT, LONGEST = 1500, 50, 65_535
LARGE = bytes(range(256)) * 16
FRAMES = [
    arp_request(), arp_reply(), echo(), echo6(), tcp(payload=b"x" * 99), tcp6(payload=b"x" * 99),
    udp(payload=b"x" * 9), udp6(), plain(A, B), solicitation6(), tagged(echo(), 7),
    tagged(tcp(), 7, 8), bytes(Ether(src=A, dst=B) / IPv6(src=A_IP6, dst=B_IP6)
                               / ICMPv6ND_NA(tgt=A_IP6)),
    tcp(payload=LARGE, flags="A"), tcp6(payload=LARGE, flags="PA"), udp(payload=LARGE),
    tagged(tcp(payload=LARGE), 9),
]  # fmt: skip
PACKETS = [
    bytes(Ether(src=A, dst=B) / ip / UDP(sport=50_000, dport=4789, **no) / Raw(bytes(60)))
    for ip in (IP(src="192.0.2.11", dst="192.0.2.1"), IP(src="192.0.2.11", dst="239.1.1.10"),
               IPv6(src="2001:db8::11", dst="2001:db8::1"), IPv6(src="::1", dst="ff05::a"))
    for no in ({}, {"chksum": 0})
]  # fmt: skip
MARKED = [
    bytes(Ether(src=A, dst=B) / ip / UDP() / Raw(b"x" * 30))
    for octet in (0, 1, 2, 3, 0xB9, 0xBA)
    for ip in (IP(src="10.0.0.1", dst="10.0.0.2", tos=octet), IPv6(src=A_IP6, dst=B_IP6, tc=octet))
]
GROUPS = {"239.1.1.10", "ff05::a"}
KINDS = (0, vnet_hdr.TCPV4, vnet_hdr.TCPV6, 5, 0x81, 0x84, 3, 255)

Check = Callable[[random.Random], bool]


def some_frame(chance: random.Random) -> bytes:
    return mutated(chance, chance.choice(FRAMES))


# -- parsing a frame


def ethernet_copes(chance: random.Random) -> bool:
    frame = some_frame(chance)
    bare = ethernet.without_tags(frame)
    assert not ethernet.is_tagged(bare)
    assert frame[:12] == bare[:12] and frame.endswith(bare[12:])
    if len(bare) >= ethernet.HEADER_LENGTH:
        assert ethernet.network_offset(frame) == len(frame) - len(bare) + ethernet.HEADER_LENGTH
    assert ethernet.flow_hash(frame) == ethernet.flow_hash(bare) < 1 << 32
    assert 0 <= ethernet.ethertype_of(frame) <= 0xFFFF
    assert ethernet.summary(frame)
    assert ethernet.flood_reason(frame) in ("broadcast", "multicast", "unknown_unicast")
    return bare != frame


def ecn_changes_a_mark_and_no_more(chance: random.Random) -> bool:
    frame, octet = mutated(chance, chance.choice(MARKED + FRAMES)), chance.randrange(256)
    inner = ecn.traffic_class(frame)
    assert ecn.outer_class(inner, 0xB8) & 3 == (inner or 0) & 3
    assert ecn.hop_limit(frame) is None or inner is not None
    after = ecn.decapsulated(frame, octet)
    if after is None:
        assert inner is not None
        assert (octet & 3, inner & 3) == (ecn.CE, ecn.NOT_ECT)
        return False
    changed = [at for at in range(len(frame)) if frame[at] != after[at]]
    start = ethernet.network_offset(frame)
    assert len(after) == len(frame) and {at - start for at in changed} <= {1, 10, 11}
    expected = inner if inner is None else inner & 0xFC | ecn_after(inner & 3, octet & 3)
    assert ecn.traffic_class(after) == expected
    if changed and frame[start - 2 : start] == b"\x08\x00":
        # RFC 1624: the checksum's error is unchanged; a right checksum stays right
        assert _sum4(frame, start) == _sum4(after, start)
    return bool(changed)


def ecn_after(inner: int, outside: int) -> int:
    """RFC 6040, figure 4: the delivered field, for packets that are not dropped."""
    table = {
        ecn.NOT_ECT: (ecn.NOT_ECT, ecn.NOT_ECT, ecn.NOT_ECT, ecn.NOT_ECT),
        ecn.ECT_1: (ecn.ECT_1, ecn.ECT_1, ecn.ECT_1, ecn.CE),
        ecn.ECT_0: (ecn.ECT_0, ecn.ECT_1, ecn.ECT_0, ecn.CE),
        ecn.CE: (ecn.CE, ecn.CE, ecn.CE, ecn.CE),
    }
    return table[inner][outside]


def _sum4(frame: bytes, start: int) -> int:
    return int(checksum(frame[start : start + 20])) % 0xFFFF


# -- super-frames and checksums


def finish_cuts_and_loses_nothing(chance: random.Random) -> bool:
    frame = some_frame(chance)
    network = ethernet.network_offset(frame)
    six = frame[network - 2 : network] == b"\x86\xdd"
    start = network + (40 if six else 20)
    size = chance.choice((1400, 536, 100, 0, chance.randrange(1, 65_536)))
    kind, offset = vnet_hdr.TCPV6 if six else vnet_hdr.TCPV4, 16
    if chance.random() < 0.5:
        start, kind = start + chance.randrange(-4, 24), chance.choice(KINDS)
        offset = chance.choice((16, 6, chance.randrange(65_536)))
    header = vnet_hdr.pack(VnetHeader(chance.randrange(2), kind, 54, size, start, offset))
    if chance.random() < 0.2:
        header = chance.randbytes(vnet_hdr.LENGTH)
    left = vnet_hdr.parse(header)
    assert vnet_hdr.pack(left) == header
    pieces = vnet_hdr.finish(left, frame)
    if pieces is not None:
        _claim_whole(left, frame, pieces)
    return pieces is not None and len(pieces) > 1


def _claim_whole(left: VnetHeader, frame: bytes, pieces: list[bytes]) -> None:
    if not left.gso_type & 0x7F:
        (piece,) = pieces
        at = left.checksum_start + left.checksum_offset
        assert piece[:at] == frame[:at] and piece[at + 2 :] == frame[at + 2 :]
        assert left.flags & vnet_hdr.NEEDS_CHECKSUM or piece == frame
        return
    tcp_kind = left.gso_type & 0x7F != 5
    head = left.checksum_start + ((frame[left.checksum_start + 12] >> 4) * 4 if tcp_kind else 8)
    assert b"".join(piece[head:] for piece in pieces) == frame[head:]
    assert all(len(piece) == head + left.segment_size for piece in pieces[:-1])
    assert head < len(pieces[-1]) <= head + left.segment_size
    assert all(piece[:12] == frame[:12] for piece in pieces)


def unfinished_is_described_truly(chance: random.Random) -> bool:
    frame = some_frame(chance)
    if chance.random() < 0.6:
        frame = _undone(frame)
    mtu = chance.choice((MTU, 576, 1280, 68))
    left = vnet_hdr.pending_offloads(frame, mtu)
    if left is None:
        return False
    assert left.checksum_start + left.checksum_offset + 2 <= len(frame)
    assert vnet_hdr.parse(vnet_hdr.pack(left)) == left
    pieces = vnet_hdr.finish(left, frame)
    if pieces is not None:
        _claim_whole(left, frame, pieces)
        if left.gso_type:
            network = ethernet.network_offset(frame)
            assert max(map(len, pieces)) <= network + mtu
    return bool(left.gso_type)


def _undone(frame: bytes) -> bytes:
    """The frame with a partial checksum, if it is TCP without extension headers."""
    start = ethernet.network_offset(frame)
    six = frame[start - 2 : start] == b"\x86\xdd"
    transport, addresses = start + (40 if six else 20), (8, 40) if six else (12, 20)
    if len(frame) < transport + 20 or frame[start + (6 if six else 9)] != 6:
        return frame
    pseudo = frame[start + addresses[0] : start + addresses[1]]
    pseudo += struct.pack("!HH", 6, len(frame) - transport)
    partial = struct.pack("!H", 0xFFFF - checksum(pseudo))
    return frame[: transport + 16] + partial + frame[transport + 18 :]


def merged_frames_are_segmented_into_the_same_frames(chance: random.Random) -> bool:
    run, taken, together = TcpRun(), list[bytes](), 0
    for frame in _stream(chance):
        assert may_begin(frame) in (True, False)
        if not run.take(frame):
            run.end()
            together += _claim_same_again(taken)
            taken = []
            assert run.take(frame)
        taken.append(frame)
    together += _claim_same_again(taken)
    return together > 0


@cache
def _segments(ipv6: bool, size: int, length: int, number: int, flags: str) -> list[bytes]:
    make = tcp6 if ipv6 else tcp
    whole = make(payload=LARGE[:length], seq=number, flags=flags)
    at, kind = (54, vnet_hdr.TCPV6) if ipv6 else (34, vnet_hdr.TCPV4)
    pieces = vnet_hdr.finish(VnetHeader(1, kind, at + 20, size, at, 16), whole)
    assert pieces is not None
    return pieces


def _stream(chance: random.Random) -> list[bytes]:
    """Segments of one flow, some damaged, some of them twice, or in another order."""
    size, flags = chance.choice((100, 999, 1400)), chance.choice(("A", "PA", "FA"))
    length, number = chance.choice((size * 2, size * 2 + 7, 4096)), chance.choice((1, 0xFFFFFF00))
    pieces = _segments(chance.random() < 0.5, size, length, number, flags)
    damage = chance.choice((0.0, 0.1, 0.4))
    made = [mutated(chance, each) if chance.random() < damage else each for each in pieces]
    if chance.random() < 0.2:
        chance.shuffle(made)
    return made * chance.choice((1, 1, 2))


def _claim_same_again(frames: list[bytes]) -> bool:
    together = merge(frames) if len(frames) > 1 else None
    if together is not None:
        left, whole = together
        assert len(whole) <= LONGEST + ethernet.HEADER_LENGTH
        assert vnet_hdr.finish(left, whole) == frames
    return together is not None


# -- messages that a VTEP builds or parses itself


class _NeighbourMessages:
    """Neighbour messages in one segment, many of them from new senders."""

    def __init__(self) -> None:
        self.neighbours = arp_suppression.NeighbourTable(LIMIT)

    def __call__(self, chance: random.Random) -> bool:
        frame = some_frame(chance)
        if chance.random() < 0.5:  # new senders test the limit
            frame = chance.choice(FRAMES[:2])
            sender, target = (b"\x0a\0\0" + bytes([chance.randrange(128)]) for _ in range(2))
            frame = frame[:28] + sender + frame[32:38] + target
        self.neighbours.learn(frame)
        assert len(self.neighbours) <= LIMIT
        mac = self.neighbours.lookup_target(frame)
        if mac is None:
            return False
        answer = arp_suppression.reply(frame, mac)
        assert answer[:12] == frame[6:12] + mac
        assert len(answer) <= len(frame) + 40
        return True


def too_big_answers_the_sender(chance: random.Random) -> bool:
    frame, mtu = some_frame(chance), chance.choice((0, 68, 1280, MTU, 65_535, 70_000))
    answer = toobig.too_big(frame, mtu)
    if answer is None:
        return False
    assert not (frame[0] & 1 or frame[6] & 1), "never about, or to, a group"
    at = ethernet.network_offset(frame)
    assert answer[:at] == frame[6:12] + frame[:6] + frame[12:at]
    packet = answer[at:]
    if frame[at - 2 : at] == b"\x08\x00":
        assert len(packet) <= 20 + 8 + 60 + 8 and int.from_bytes(packet[2:4], "big") == len(packet)
        assert checksum(packet[:20]) == checksum(packet[20:]) == 0
        assert packet[12:20] == frame[at + 16 : at + 20] + frame[at + 12 : at + 16]
    else:
        assert len(packet) <= 1280 and int.from_bytes(packet[4:6], "big") == len(packet) - 40
        pseudo = packet[8:40] + struct.pack("!II", len(packet) - 40, 58)
        assert checksum(pseudo + packet[40:]) == 0
    return True


# -- outer headers that the kernel left to the agent


def outer_is_read_or_named(chance: random.Random) -> bool:
    packet = mutated(chance, chance.choice(PACKETS))
    found = outer.datagram(packet, GROUPS)
    if found is None or isinstance(found, DropReason):
        return False
    sender, sport, to_group, octet, payload = found
    assert sender and 0 <= sport <= 0xFFFF and 0 <= octet <= 0xFF
    assert packet.endswith(payload) and len(packet) - len(payload) in (42, 62)
    assert isinstance(to_group, bool)
    return True


def datagrams_lose_nothing(chance: random.Random) -> bool:
    payload = some_frame(chance)
    size = chance.choice((0, -1, len(payload), len(payload) // 2, chance.randrange(1, 2000)))
    pieces = list(split_datagrams(memoryview(payload), size))
    assert b"".join(pieces) == payload
    assert all(len(piece) == size for piece in pieces[:-1])
    return len(pieces) > 1


CHECKS: dict[str, Callable[[], Check]] = {
    "ethernet": lambda: ethernet_copes,
    "ecn": lambda: ecn_changes_a_mark_and_no_more,
    "finish": lambda: finish_cuts_and_loses_nothing,
    "unfinished": lambda: unfinished_is_described_truly,
    "merge": lambda: merged_frames_are_segmented_into_the_same_frames,
    "neighbours": _NeighbourMessages,
    "too_big": lambda: too_big_answers_the_sender,
    "outer": lambda: outer_is_read_or_named,
    "datagrams": lambda: datagrams_lose_nothing,
}
ROUNDS = [
    pytest.param(1500, id="short"),
    pytest.param(1_000_000 // len(CHECKS), marks=pytest.mark.slow),
]
FRAMES_A_CHECK = {"merge": 10}  # about; one in the other checks
LOOKS = 30


@pytest.mark.parametrize("count", ROUNDS)
@pytest.mark.parametrize("edge", CHECKS)
def test_no_bytes_raise_and_every_result_is_consistent(edge: str, count: int) -> None:
    chance, check, fit = random.Random(7348), CHECKS[edge](), 0
    count //= FRAMES_A_CHECK.get(edge, 1)
    with Memory() as memory:
        for number in range(1, count + 1):
            fit += check(chance)
            if number % (count // LOOKS) == 0:
                memory.look()
    assert fit > count // 50
    assert not memory.has_grown()
