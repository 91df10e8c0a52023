"""What IGMP and MLD messages have in common on the wire: parsed and built in the same way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.membership import (
    Leave,
    MembershipReport,
    Query,
    Record,
    RecordType,
    decode_time,
    encode_time,
)
from tests.support.families import HOST_MAC, Family, both_families


@both_families
def test_a_general_query_is_parsed_as_it_was_built(family: Family) -> None:
    frame = family.protocol.build_query(None, 10.0, 125, family.proxy)
    assert family.protocol.parse(frame) == Query(family.proxy, family.version, None, 10.0)


@both_families
def test_a_group_specific_query_is_parsed_as_it_was_built(family: Family) -> None:
    frame = family.protocol.build_query(family.group, 1.0, 125, family.router)
    expected = Query(family.router, family.version, family.group, 1.0)
    assert family.protocol.parse(frame) == expected


@both_families
@pytest.mark.parametrize("seconds", [0.1, 12.7, 12.8, 100, 3174.4])
def test_long_response_times_are_rounded_down(family: Family, seconds: float) -> None:
    query = family.protocol.parse(family.protocol.build_query(None, seconds, 125, family.proxy))
    assert isinstance(query, Query)
    assert seconds * 15 / 16 <= query.max_response_s <= seconds


@both_families
def test_a_report_of_the_newest_version_keeps_its_records(family: Family) -> None:
    rows = (
        (RecordType.CHANGE_TO_EXCLUDE, family.group, 0),
        (RecordType.ALLOW_NEW_SOURCES, family.other_group, 3),
    )
    expected = tuple(Record(*row) for row in rows)
    frame = family.report(family.host(11), *rows)
    assert family.protocol.parse(frame) == MembershipReport(
        family.host(11), family.version, expected
    )


@both_families
def test_an_older_report_is_parsed_as_one_exclude_record(family: Family) -> None:
    frame = family.old_report(family.host(11), family.group, HOST_MAC)
    exclude = Record(RecordType.MODE_IS_EXCLUDE, family.group, 0)
    assert family.protocol.parse(frame) == MembershipReport(
        family.host(11), family.version - 1, (exclude,)
    )


@both_families
def test_a_leave_message_is_parsed_as_it_was_built(family: Family) -> None:
    frame = family.leave(family.host(11), family.group, HOST_MAC)
    assert family.protocol.parse(frame) == Leave(family.host(11), family.group)


@pytest.mark.parametrize("mantissa", [4, 12])
@given(data=st.data())
def test_an_encoded_time_is_never_longer_than_the_time(mantissa: int, data: st.DataObject) -> None:
    largest = ((2 << mantissa) - 1) << 10
    value = data.draw(st.integers(1, largest))
    code = encode_time(value, mantissa)
    assert value * (1 - 2**-mantissa) < decode_time(code, mantissa) <= value
    assert encode_time(largest + 1, mantissa) == (1 << mantissa + 4) - 1
    assert encode_time(decode_time(code, mantissa), mantissa) == code


@both_families
@given(data=st.binary(max_size=150))
def test_parse_never_raises_whatever_the_bytes(family: Family, data: bytes) -> None:
    ethertype = family.protocol.eth_type.to_bytes(2, "big")
    for frame in (data, HOST_MAC + HOST_MAC + ethertype + data):
        family.protocol.is_message(frame)
        family.protocol.parse(frame)
