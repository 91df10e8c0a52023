"""Merging TCP segments: segmented again, they are the same bytes; others are not merged."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from vtep.tcp_merge import TcpRun, follows, merge
from vtep.vnet_hdr import TCPV4, TCPV6, VnetHeader, finish
from vtep.wire import ones_sum

MACS = Ether(
    src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b"
)  # given, so that Scapy does not resolve them
ENDS = {
    4: IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", id=65_534),
    6: IPv6(src="2001:db8::1", dst="2001:db8::2", fl=7),
}
TRANSPORT = {4: 34, 6: 54}
SEQUENCE = 0xFFFFFF00  # the numbers wrap around, like the IPv4 identification
TIMES = [("NOP", None), ("NOP", None), ("Timestamp", (7, 8))]


def segments(version: int, payload: bytes, size: int, flags: str = "PA") -> list[bytes]:
    """The segments of a VM's super-frame, as sent into a tunnel."""
    tcp = TCP(sport=5, dport=6, seq=SEQUENCE, ack=9, flags=flags, options=TIMES)
    frame = bytes(MACS / ENDS[version] / tcp / payload)
    kind = TCPV4 if version == 4 else TCPV6
    at = TRANSPORT[version]
    cut = finish(VnetHeader(1, kind, at + 32, size, at, 16), frame)
    assert cut is not None
    return cut


def runs(frames: list[bytes]) -> list[list[bytes]]:
    """The frames as runs."""
    run, found = TcpRun(), list[list[bytes]]()
    for frame in frames:
        if not run.take(frame):
            run.end()
            assert run.take(frame)
            found.append([])
        elif not found:
            found.append([])
        found[-1].append(frame)
    return found


def summed(frame: bytes, version: int) -> bytes:
    """The frame with right checksums."""
    done, at = bytearray(frame), TRANSPORT[version]
    if version == 4:
        done[24:26] = bytes(2)
        done[24:26] = (0xFFFF - ones_sum(done[14:34])).to_bytes(2, "big")
    done[at + 16 : at + 18] = bytes(2)
    addresses = bytes(done[26:34] if version == 4 else done[22:54])
    total = ones_sum(addresses + struct.pack("!HH", 6, len(done) - at) + done[at:])
    done[at + 16 : at + 18] = (0xFFFF - total).to_bytes(2, "big")
    return bytes(done)


def changed(place: int, bits: int) -> Callable[[bytes], bytes]:
    """Flip bits of one byte."""
    return lambda frame: frame[:place] + bytes([frame[place] ^ bits]) + frame[place + 1 :]


@pytest.mark.parametrize("version", [4, 6])
@given(payload=st.binary(min_size=2, max_size=4000), size=st.integers(1, 1400))
def test_a_merged_frame_is_segmented_into_the_same_bytes(
    version: int, payload: bytes, size: int
) -> None:
    for run in runs(segments(version, payload, max(size, len(payload) // 40))):
        together = merge(run) if len(run) > 1 else None
        if together is not None:
            assert finish(*together) == run


@pytest.mark.parametrize("version", [4, 6])
def test_the_segments_of_a_super_frame_are_one_run(version: int) -> None:
    frames = segments(version, bytes(range(256)) * 20, 1000)
    assert [len(run) for run in runs(frames)] == [6]
    together = merge(frames)
    assert together is not None
    assert finish(*together) == frames


@pytest.mark.parametrize("version", [4, 6])
def test_a_run_is_no_longer_than_the_largest_ip_packet(version: int) -> None:
    first = segments(version, bytes(60_000), 1350)
    frames = list(first)
    for number in range(1, 60):  # a long stream: only the length ends the run
        frame = bytearray(first[0])
        struct.pack_into("!I", frame, TRANSPORT[version] + 4, SEQUENCE + 1350 * number & 0xFFFFFFFF)
        if version == 4:
            struct.pack_into("!H", frame, 18, 65_534 + number & 0xFFFF)
        frames[number:] = [summed(bytes(frame), version)]
    found = runs(frames)
    assert len(found) == 2
    for run in found:
        together = merge(run)
        assert together is not None
        assert len(together[1]) <= 65_535
        assert finish(*together) == run


OTHERS = {
    "another receiver's MAC": (changed(5, 1), changed(5, 1)),
    "a mark of congestion": (changed(15, 3), changed(15, 0x30)),
    "another hop limit": (changed(22, 1), changed(21, 1)),
    "another sender": (changed(29, 4), changed(37, 4)),
    "another port": (changed(35, 1), changed(55, 1)),
    "another sequence": (changed(41, 1), changed(61, 1)),
    "another acknowledgement": (changed(45, 1), changed(65, 1)),
    "the end of the stream": (changed(47, 0x01), changed(67, 0x01)),
    "an echo of congestion": (changed(47, 0x40), changed(67, 0x40)),
    "another window": (changed(49, 1), changed(69, 1)),
    "an urgent byte": (changed(53, 1), changed(73, 1)),
    "another time stamp": (changed(61, 1), changed(81, 1)),
    "padding": (lambda frame: frame[:-1], lambda frame: frame[:-1]),
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("what", OTHERS)
def test_segments_with_different_headers_are_not_merged(version: int, what: str) -> None:
    first, second = segments(version, bytes(2000), 1000)
    assert follows(first, second)
    assert not follows(first, OTHERS[what][version == 6](second))


@pytest.mark.parametrize("place", [18, 20])
def test_gaps_in_sequence_and_fragments_are_not_merged(place: int) -> None:
    first, second = segments(4, bytes(2000), 1000)
    assert not follows(first, changed(place, 0x20)(second))
    fragment = changed(20, 0x20)
    assert not follows(fragment(first), fragment(second))


def test_psh_ends_a_run() -> None:
    first, second = segments(4, bytes(2000), 1000)
    assert not follows(changed(47, 0x08)(first), second)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_frames_with_a_wrong_tcp_checksum_are_not_merged(version: int, number: int) -> None:
    frames = segments(version, bytes(3000), 1000)
    assert merge(frames) is not None
    frames[number] = changed(len(frames[number]) - 1, 1)(frames[number])
    assert [len(run) for run in runs(frames)] == [3]
    assert merge(frames) is None


def test_frames_with_a_wrong_ipv4_checksum_are_not_merged() -> None:
    frames = segments(4, bytes(3000), 1000)
    frames[1] = changed(24, 1)(frames[1])
    assert merge(frames) is None


@given(before=st.binary(max_size=120), frame=st.binary(max_size=120))
def test_no_bytes_raise(before: bytes, frame: bytes) -> None:
    run = TcpRun()
    for each in (before, frame, before):
        if not run.take(each):
            run.end()
    for cut in range(0, 120, 3):
        first, second = segments(4, bytes(200), 100)
        assert not follows(first[:cut], second)
        assert not follows(first, second[:cut])
