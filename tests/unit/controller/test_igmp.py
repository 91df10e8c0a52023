"""IGMP on the wire: the bytes of queries, older versions, and the checks of `parse`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.igmp import (
    build_frame,
    build_query,
    build_report,
    group_mac,
    parse,
)
from controller.membership import (
    Malformed,
    MembershipReport,
    Query,
    Reason,
    Record,
    RecordType,
    Unrecognised,
    checksum,
)

MAC = bytes.fromhex("020000000001")
GROUP = "239.1.1.10"
EXCLUDE_ALL = Record(RecordType.CHANGE_TO_EXCLUDE, GROUP, 0)


def test_a_general_query_has_the_bytes_of_rfc_3376() -> None:
    frame = build_query(None, 10.0, 125)
    assert frame[:6] == bytes.fromhex("01005e000001")
    packet = frame[14:]
    assert packet[:2] == b"\x46\xc0" and packet[8] == 1 and packet[20:24] == b"\x94\x04\x00\x00"
    assert packet[12:20] == bytes([0, 0, 0, 0, 224, 0, 0, 1])
    assert checksum(packet[:24]) == 0 and checksum(packet[24:36]) == 0
    assert packet[24:26] == b"\x11\x64" and packet[28:36] == bytes([0, 0, 0, 0, 2, 125, 0, 0])


def test_a_group_specific_query_is_sent_to_the_group() -> None:
    frame = build_query(GROUP, 1.0, 125, "192.0.2.1")
    assert frame[:6] == group_mac(GROUP) == bytes.fromhex("01005e01010a")


@pytest.mark.parametrize(("code", "version", "seconds"), [(0, 1, 10.0), (50, 2, 5.0)])
def test_a_query_of_8_octets_is_of_an_older_version(
    code: int, version: int, seconds: float
) -> None:
    body = bytes([0x11, code, 0xEE, 0xFF - code, 0, 0, 0, 0])
    frame = build_frame("192.0.2.1", "224.0.0.1", body, MAC)
    assert parse(frame) == Query("192.0.2.1", version, None, seconds)


def test_a_version_1_report_is_parsed_as_one_exclude_record() -> None:
    report = MembershipReport("192.0.2.11", 1, (Record(RecordType.MODE_IS_EXCLUDE, GROUP, 0),))
    assert parse(build_report("192.0.2.11", 1, report.records, MAC)) == report


def test_an_unknown_type_is_distinguished_from_a_malformed_message() -> None:
    body = bytes([0x30, 0, 0xCF, 0xFF, 0, 0, 0, 0])
    frame = build_frame("192.0.2.1", "224.0.0.1", body, MAC)
    assert parse(frame) == Unrecognised("192.0.2.1", 0x30)


REPORT = build_report("192.0.2.11", 3, (EXCLUDE_ALL,), MAC)


def _with(offset: int, value: int) -> bytes:
    return REPORT[:offset] + bytes([value]) + REPORT[offset + 1 :]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", Reason.SHORT),
        (REPORT[:30], Reason.SHORT),
        (REPORT[:40], Reason.BAD_IP_HEADER),
        (_with(12, 0x86), Reason.NOT_IPV4),
        (_with(14, 0x66), Reason.BAD_IP_HEADER),
        (_with(22, 7), Reason.BAD_IP_CHECKSUM),
        (_with(50, 7), Reason.BAD_IGMP_CHECKSUM),
        (build_report("192.0.2.1", 2, (Record(2, "10.0.0.1", 0),), MAC), Reason.NOT_MULTICAST),
    ],
)
def test_a_malformed_frame_is_rejected_with_its_reason(frame: bytes, reason: Reason) -> None:
    assert parse(frame) == Malformed(reason)


def _with_checksum(body: bytes) -> bytes:
    zeroed = body[:2] + b"\0\0" + body[4:]
    return zeroed[:2] + checksum(zeroed).to_bytes(2, "big") + zeroed[4:]


def test_records_beyond_the_end_of_the_message_are_rejected() -> None:
    body = _with_checksum(bytes([0x22, 0, 0, 0, 0, 0, 0, 9]))
    frame = build_frame("192.0.2.11", "224.0.0.22", body, MAC)
    assert parse(frame) == Malformed(Reason.BAD_LENGTH)


@given(st.binary(max_size=60))
def test_parse_never_raises_whatever_the_igmp_body(body: bytes) -> None:
    parse(build_frame("192.0.2.11", "224.0.0.1", _with_checksum(body), MAC))
