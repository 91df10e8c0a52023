"""UDP GSO: a run, segmented as the kernel does it, equals the packets sent one by one."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtep.constants import LARGEST_PACKET, VXLAN_PORT
from vtep.effects import JoinGroup, PortId, ToPort, ToUnderlay
from vtep.udp_gso import MOST_SEGMENTS, PacketRun, split_datagrams
from vtep.wire import complete_checksum, encapsulate, outer_header

LOCAL = {4: "192.0.2.11", 6: "2001:db8::11"}
REMOTES = {4: ("192.0.2.12", "239.1.1.10"), 6: ("2001:db8::12", "ff05::a")}
IP = {4: 20, 6: 40}


def effect(
    version: int = 4, size: int = 100, remote: int = 0, vni: int = 10, sport: int = 50_000,
    octet: int = 0, ttl: int = 64, filling: int = 0, checksum: int = False,
) -> ToUnderlay:  # fmt: skip
    to = REMOTES[version][remote]
    header = outer_header(LOCAL[version], to, vni, 64, VXLAN_PORT)
    packet = encapsulate(header, bytes((filling,)) * size, sport, bool(checksum), octet, ttl)
    return ToUnderlay(to, packet, vni, False)


def runs(effects: list[ToUnderlay]) -> list[list[ToUnderlay]]:
    run, found = PacketRun(), list[list[ToUnderlay]]()
    for each in effects:
        if not found or not run.take(each):
            run.end()
            assert run.take(each)
            found.append([])
        found[-1].append(each)
    return found


def lengths(effects: list[ToUnderlay]) -> list[int]:
    return [len(run) for run in runs(effects)]


def cut(run: list[ToUnderlay]) -> list[bytes]:
    """Segment a run as the kernel does: the first packet's headers, and the payload of all."""
    first = run[0].packet
    ip = IP[first[0] >> 4]
    headers, size = first[: ip + 8], len(first) - ip - 8
    payload = b"".join(bytes(each.packet[ip + 8 :]) for each in run)
    assert ip + 8 + len(payload) <= LARGEST_PACKET
    return [_piece(headers, payload[at : at + size], ip) for at in range(0, len(payload), size)]


def _piece(headers: bytearray, payload: bytes, ip: int) -> bytes:
    piece = bytearray(headers + payload)
    struct.pack_into("!H", piece, ip + 4, 8 + len(payload))
    if ip == IP[4]:
        struct.pack_into("!H", piece, 2, len(piece))
    else:
        struct.pack_into("!H", piece, 4, len(piece) - ip)
    complete_checksum(piece)
    return bytes(piece)


FIELDS = {
    "size": st.sampled_from([14, 100, 100, 100, 101, 1450]),
    "remote": st.sampled_from([0, 0, 0, 1]),
    "vni": st.sampled_from([10, 10, 20]),
    "sport": st.sampled_from([50_000, 50_000, 50_001]),
    "octet": st.sampled_from([0, 0, 0, 0x2B]),
    "ttl": st.sampled_from([64, 64, 64, 9]),
    "filling": st.integers(0, 255),
}


@pytest.mark.parametrize("version", [4, 6])
@given(packets=st.lists(st.fixed_dictionaries(FIELDS), max_size=80))
def test_a_segmented_run_equals_the_packets_sent_one_by_one(
    version: int, packets: list[dict[str, int]]
) -> None:
    one_by_one = [bytes(effect(version, **each, checksum=True).packet) for each in packets]
    together = runs([effect(version, **each) for each in packets])
    assert [piece for run in together for piece in cut(run)] == one_by_one


@pytest.mark.parametrize("version", [4, 6])
def test_a_run_has_at_most_the_segments_that_all_kernels_accept(version: int) -> None:
    assert lengths([effect(version)] * (2 * MOST_SEGMENTS + 1)) == [MOST_SEGMENTS] * 2 + [1]


@pytest.mark.parametrize("version", [4, 6])
def test_a_run_is_no_longer_than_the_largest_ip_packet(version: int) -> None:
    largest = (LARGEST_PACKET - IP[version] - 8) // 2000
    found = lengths([effect(version, size=2000 - 8)] * 50)
    assert found == [largest, 50 - largest]


def test_a_shorter_packet_ends_a_run() -> None:
    a, short, tiny = effect(size=100), effect(size=99), effect(size=98)
    assert lengths([a, a, short, a]) == [3, 1]
    assert lengths([a, short, short, tiny]) == [2, 2]
    assert lengths([short, a, a]) == [1, 2]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "change", [{"remote": 1}, {"sport": 50_001}, {"octet": 1}, {"octet": 0xF0}, {"ttl": 63}]
)
def test_a_packet_with_other_headers_ends_a_run(version: int, change: dict[str, int]) -> None:
    assert lengths([effect(version), effect(version, **change), effect(version)]) == [1, 1, 1]


def test_only_packets_are_taken() -> None:
    run = PacketRun()
    assert run.may_begin(effect())
    assert not run.may_begin(JoinGroup("239.1.1.10"))
    assert not run.may_begin(ToPort(PortId(0), None, b"", 10, False))


@given(st.lists(st.binary(min_size=7, max_size=7), min_size=1, max_size=70), st.binary(max_size=7))
def test_merged_datagrams_are_split(whole: list[bytes], last: bytes) -> None:
    sent = [*whole, last] if last else whole
    assert list(split_datagrams(memoryview(b"".join(sent)), 7)) == sent


@pytest.mark.parametrize("size", [-(2**31), -1, 0, 5, 6, 2**31 - 1])
def test_a_datagram_that_was_not_merged_is_not_split(size: int) -> None:
    assert list(split_datagrams(memoryview(b"12345"), size)) == [b"12345"]
    assert list(split_datagrams(memoryview(b""), size)) == [b""]


@given(st.binary(max_size=50), st.integers(-(2**31), 2**31 - 1))
def test_no_byte_is_lost_whatever_the_size(payload: bytes, size: int) -> None:
    parts = list(split_datagrams(memoryview(payload), size))
    assert b"".join(parts) == payload
    assert all(len(one) == len(parts[0]) >= len(other) for one, other in pairwise(parts))
