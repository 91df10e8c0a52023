"""MLD on the wire: compared with Scapy in both directions, and the checks of `parse`."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6MLDone,
    ICMPv6MLQuery2,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Ether

from controller.constants import ALL_NODES, MLD_PROXY_SOURCE
from controller.igmp import build_query as build_igmp_query
from controller.membership import Malformed, MembershipReport, Query, Reason, Record, RecordType
from controller.mld import Type, build_frame, build_query, is_message, parse
from tests.support.mld import done, old_report, query, report, wrapped

MAC = bytes.fromhex("020000000001")
GROUP = "ff05::ef01:10a"
HOST = "fe80::11"
EXCLUDE_ALL = (RecordType.CHANGE_TO_EXCLUDE, GROUP, 0)


@pytest.mark.parametrize("source", [HOST, "::", "febf::1"])
def test_a_report_may_come_from_a_link_local_or_the_unspecified_address(source: str) -> None:
    records = (EXCLUDE_ALL, (RecordType.ALLOW_NEW_SOURCES, "ff05::2", 3))
    expected = MembershipReport(source, 2, tuple(Record(*each) for each in records))
    assert parse(report(source, *records)) == expected


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (query(mrd=10000), Query("fe80::1", 2, None, 10.0)),
        (query(GROUP, mrd=1000), Query("fe80::1", 2, GROUP, 1.0)),
        (query(GROUP, S=1, mrd=0x8000), Query("fe80::1", 2, GROUP, 32.768, True)),
        (query(GROUP, mrd=1, sources=["2001:db8::1"] * 2), Query("fe80::1", 2, GROUP, 0.001)),
        (query(version=1, mrd=65535), Query("fe80::1", 1, None, 65.535)),
        (query(GROUP, version=1, mrd=0), Query("fe80::1", 1, GROUP, 0.0)),
        (query(source="::", mrd=1000), Query("::", 2, None, 1.0)),
    ],
)
def test_the_length_of_a_query_gives_its_version(frame: bytes, expected: Query) -> None:
    assert parse(frame) == expected


@pytest.mark.parametrize(("group", "seconds"), [(None, 10.0), (GROUP, 1.0)])
def test_our_queries_equal_those_of_scapy_byte_for_byte(group: str | None, seconds: float) -> None:
    to = group or ALL_NODES
    message = ICMPv6MLQuery2(mladdr=group or "::", mrd=round(seconds * 1000), QRV=2, QQIC=125)
    frame = build_query(group, seconds, 125)
    assert frame == wrapped(message, to, MLD_PROXY_SOURCE, bytes.fromhex("0276786c6162"))
    assert parse(frame) == Query(MLD_PROXY_SOURCE, 2, group, seconds)


REPORT = report(HOST, EXCLUDE_ALL)
FROM_GLOBAL_ADDRESS = report("2001:db8::11", EXCLUDE_ALL)


def _with(frame: bytes, offset: int, value: int) -> bytes:
    return frame[:offset] + bytes([value]) + frame[offset + 1 :]


def _no_alert() -> bytes:
    bare = IPv6(src=HOST, dst="ff02::2", hlim=1) / ICMPv6MLDone(mladdr=GROUP)
    return bytes(Ether() / bare)


def _alert(value: int) -> bytes:
    options = IPv6ExtHdrHopByHop(options=[RouterAlert(value=value)])
    header = IPv6(src=HOST, dst="ff02::2", hlim=1)
    return bytes(Ether() / header / options / ICMPv6MLDone(mladdr=GROUP))


def _short(kind: int, length: int) -> bytes:
    return build_frame(HOST, "ff02::2", bytes([kind]) + bytes(length - 1), MAC)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", Reason.SHORT),
        (REPORT[:53], Reason.SHORT),
        (REPORT[:-1], Reason.BAD_IP_HEADER),
        (_with(REPORT, 12, 0x08), Reason.NOT_IPV6),
        (_with(REPORT, 14, 0x45), Reason.BAD_IP_HEADER),
        (_with(REPORT, 55, 9), Reason.BAD_IP_HEADER),  # the options end beyond the packet
        (_with(REPORT, 54, 17), Reason.NOT_MLD),
        (_no_alert(), Reason.NO_ROUTER_ALERT),
        (_alert(1), Reason.NO_ROUTER_ALERT),  # the value for RSVP (RFC 2711 2.1)
        (wrapped(ICMPv6MLDone(mladdr=GROUP), "ff02::2", HOST, hlim=2), Reason.BAD_HOP_LIMIT),
        (wrapped(ICMPv6MLDone(mladdr=GROUP), "ff02::2", HOST, hlim=0), Reason.BAD_HOP_LIMIT),
        (_with(REPORT, 70, 7), Reason.BAD_ICMPV6_CHECKSUM),
        (_with(REPORT, 37, 0x12), Reason.BAD_ICMPV6_CHECKSUM),  # source, in the pseudo-header
        (FROM_GLOBAL_ADDRESS, Reason.BAD_SOURCE),
        (query(source="2001:db8::1"), Reason.BAD_SOURCE),
        (query(source="fec0::1"), Reason.BAD_SOURCE),
        (_short(Type.V2_REPORT, 7), Reason.SHORT),
        (_short(Type.V1_DONE, 23), Reason.BAD_LENGTH),
        (_short(Type.QUERY, 26), Reason.BAD_LENGTH),  # neither version 1 nor version 2
        (done(HOST, "2001:db8::1"), Reason.NOT_MULTICAST),
        (old_report(HOST, "::"), Reason.NOT_MULTICAST),
        (wrapped(ICMPv6MLQuery2(mladdr="fe80::2"), "ff02::1"), Reason.NOT_MULTICAST),
        (query(GROUP, sources_number=2, sources=["::1"]), Reason.BAD_LENGTH),
        (_short(200, 24), Reason.NOT_MLD),
    ],
)
def test_a_malformed_frame_is_rejected_with_its_reason(frame: bytes, reason: Reason) -> None:
    assert parse(frame) == Malformed(reason)


@pytest.mark.parametrize(("count", "sources", "aux"), [(2, 0, 0), (1, 1, 0), (1, 0, 1), (9, 9, 9)])
def test_records_beyond_the_end_of_the_message_are_rejected(
    count: int, sources: int, aux: int
) -> None:
    record = struct.pack("!BBH", 4, aux, sources) + bytes.fromhex("ff05") + bytes(14)
    body = struct.pack("!BBHHH", Type.V2_REPORT, 0, 0, 0, count) + record
    assert parse(build_frame(HOST, "ff02::16", body, MAC)) == Malformed(Reason.BAD_LENGTH)


def test_a_record_of_a_unicast_address_is_left_out_and_the_others_are_kept() -> None:
    frame = report(HOST, (4, "2001:db8::5", 0), EXCLUDE_ALL)
    assert parse(frame) == MembershipReport(HOST, 2, (Record(*EXCLUDE_ALL),))


def test_a_router_alert_is_found_after_other_options() -> None:
    others = bytes.fromhex("00 0102ffff 00")  # Pad1, PadN, Pad1
    options = bytes([58, 1]) + others + bytes.fromhex("05020000") + bytes.fromhex("01020000")
    packet = REPORT[14:54] + options + REPORT[62:]
    length = struct.pack("!H", len(packet) - 40)
    assert parse(REPORT[:14] + packet[:4] + length + packet[6:]) == parse(REPORT)


def test_only_mld_frames_count_as_messages() -> None:
    solicitation = Ether() / IPv6(dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt="2001:db8::1")
    messages = (REPORT, FROM_GLOBAL_ADDRESS, _no_alert(), query(), done(HOST, GROUP))
    assert all(map(is_message, messages))
    frames = (bytes(solicitation), build_igmp_query(None, 1, 1), REPORT[:54], _with(REPORT, 62, 9))
    assert not any(map(is_message, frames))


@given(st.binary(max_size=150))
def test_parse_never_raises_whatever_follows_the_headers(data: bytes) -> None:
    for frame in (REPORT[:54] + data, REPORT[:62] + data):
        is_message(frame)
        parse(frame)


@given(st.sampled_from([*Type, 1, 151]), st.binary(max_size=80))
def test_parse_never_raises_whatever_the_icmpv6_body(kind: int, rest: bytes) -> None:
    body = bytes([kind]) + rest
    parse(build_frame(HOST, "ff02::16", body.ljust(4, b"\0"), MAC))


@given(st.data())
def test_a_frame_with_one_flipped_bit_is_rejected_or_parsed_as_before(data: st.DataObject) -> None:
    """The checksum covers the message and both addresses; `parse` checks the other fields."""
    bit = data.draw(st.integers(14 * 8, len(REPORT) * 8 - 1))
    number = int.from_bytes(REPORT, "big") ^ 1 << (len(REPORT) * 8 - 1 - bit)
    found = parse(number.to_bytes(len(REPORT), "big"))
    assert isinstance(found, Malformed) or found == parse(REPORT)
