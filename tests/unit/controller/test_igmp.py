"""IGMP on the wire: what is built is read back, byte for byte right, and nothing makes it raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.igmp import (
    build_frame,
    build_leave,
    build_query,
    build_report,
    group_mac,
    parse,
)
from controller.membership import (
    Leave,
    Malformed,
    Query,
    Reason,
    Record,
    RecordType,
    Report,
    Unrecognised,
    checksum,
)

MAC = bytes.fromhex("020000000001")
GROUP = "239.1.1.10"
EXCLUDE_ALL = Record(RecordType.CHANGE_TO_EXCLUDE, GROUP, 0)


def test_general_query_has_the_bytes_of_the_standard() -> None:
    frame = build_query(None, 10.0, 125)
    assert frame[:6] == bytes.fromhex("01005e000001")
    packet = frame[14:]
    assert packet[:2] == b"\x46\xc0" and packet[8] == 1 and packet[20:24] == b"\x94\x04\x00\x00"
    assert packet[12:20] == bytes([0, 0, 0, 0, 224, 0, 0, 1])
    assert checksum(packet[:24]) == 0 and checksum(packet[24:36]) == 0
    assert packet[24:26] == b"\x11\x64" and packet[28:36] == bytes([0, 0, 0, 0, 2, 125, 0, 0])


def test_general_query_is_read_back() -> None:
    assert parse(build_query(None, 10.0, 125)) == Query("0.0.0.0", 3, None, 10.0)


def test_group_specific_query_goes_to_the_group() -> None:
    frame = build_query(GROUP, 1.0, 125, "192.0.2.1")
    assert frame[:6] == group_mac(GROUP) == bytes.fromhex("01005e01010a")
    assert parse(frame) == Query("192.0.2.1", 3, GROUP, 1.0)


@pytest.mark.parametrize("seconds", [0.1, 12.7, 12.8, 100, 3174.4])
def test_long_response_times_are_coded_as_small_floats(seconds: float) -> None:
    query = parse(build_query(None, seconds, 125))
    assert isinstance(query, Query)
    assert seconds * 15 / 16 <= query.max_response_s <= seconds


@pytest.mark.parametrize(("code", "version", "seconds"), [(0, 1, 10.0), (50, 2, 5.0)])
def test_short_queries_are_of_the_older_versions(code: int, version: int, seconds: float) -> None:
    body = bytes([0x11, code, 0xEE, 0xFF - code, 0, 0, 0, 0])
    frame = build_frame("192.0.2.1", "224.0.0.1", body, MAC)
    assert parse(frame) == Query("192.0.2.1", version, None, seconds)


@pytest.mark.parametrize("version", [1, 2])
def test_old_reports_read_as_one_exclude_record(version: int) -> None:
    report = Report("192.0.2.11", version, (Record(RecordType.MODE_IS_EXCLUDE, GROUP, 0),))
    assert parse(build_report("192.0.2.11", version, report.records, MAC)) == report


def test_version_3_report_keeps_its_records() -> None:
    records = (EXCLUDE_ALL, Record(RecordType.ALLOW_NEW_SOURCES, "239.1.1.11", 3))
    frame = build_report("192.0.2.11", 3, records, MAC)
    assert parse(frame) == Report("192.0.2.11", 3, records)


def test_leave_is_read_back() -> None:
    assert parse(build_leave("192.0.2.11", GROUP, MAC)) == Leave("192.0.2.11", GROUP)


def test_unknown_type_is_told_apart_from_a_broken_message() -> None:
    body = bytes([0x30, 0, 0xCF, 0xFF, 0, 0, 0, 0])
    assert parse(build_frame("192.0.2.1", "224.0.0.1", body, MAC)) == Unrecognised(
        "192.0.2.1", 0x30
    )


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
def test_what_cannot_be_trusted_is_named(frame: bytes, reason: Reason) -> None:
    assert parse(frame) == Malformed(reason)


def test_records_that_pass_the_end_are_refused() -> None:
    body = bytes([0x22, 0, 0, 0, 0, 0, 0, 9])
    fixed = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    frame = build_frame("192.0.2.11", "224.0.0.22", fixed, MAC)
    assert parse(frame) == Malformed(Reason.BAD_LENGTH)


@given(st.binary(max_size=120))
def test_parse_never_raises_on_any_bytes(data: bytes) -> None:
    parse(data)
    parse(MAC + MAC + b"\x08\x00" + data)


@given(st.binary(max_size=60))
def test_parse_never_raises_on_any_igmp_body(body: bytes) -> None:
    zeroed = body[:2] + b"\0\0" + body[4:]
    fixed = zeroed[:2] + checksum(zeroed).to_bytes(2, "big") + zeroed[4:]
    parse(build_frame("192.0.2.11", "224.0.0.1", fixed, MAC))
