"""Where group data, reports and queries come out of one switch, for both protocols."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6MLDone, IPv6
from scapy.layers.l2 import Ether

from controller import views
from controller.constants import ALL_SYSTEMS
from controller.flows import PortRef
from controller.igmp import build_frame
from controller.membership import Malformed, RecordType
from controller.mld import parse
from tests.support import mld
from tests.support.families import IPV4, IPV6, ROUTER_MAC, Family, both_families
from tests.support.flowtable import Fabric, datagram, mac

ALL_OTHERS = {(1, 2), (1, 3), (1, 4)}


@both_families
def test_group_data_goes_to_members_only(one: Fabric, family: Family) -> None:
    assert family.send_data(one, (1, 1)) == set()
    family.join(one, (1, 2), 12)
    family.join(one, (1, 3), 13)
    assert family.send_data(one, (1, 1)) == {(1, 2), (1, 3)}
    assert family.send_data(one, (1, 2)) == {(1, 3)}


@both_families
def test_groups_that_share_a_mac_address_are_distinguished(one: Fabric, family: Family) -> None:
    family.join(one, (1, 2), 12)
    assert datagram(family.same_mac, mac(1))[:6] == datagram(family.group, mac(1))[:6]
    assert family.send_data(one, (1, 1), family.same_mac) == set()


@both_families
@pytest.mark.parametrize("by_record", [False, True])
def test_a_leave_is_followed_by_queries_and_ends_the_membership(
    one: Fabric, family: Family, by_record: bool
) -> None:
    one.advance(2)  # the queries that follow the connection of the switch
    family.join(one, (1, 2), 12)
    one.forget()
    family.leave_group(one, (1, 2), 12, by_record)
    one.advance(1.9)
    assert [port for port, _ in family.queries(one)] == [(1, 2), (1, 2)]
    for _, query in family.queries(one):
        assert (query.source, query.version) == (family.proxy, family.version)
        assert (query.group, query.max_response_s) == (family.group, 1.0)
    assert family.send_data(one, (1, 1)) == {(1, 2)}
    one.advance(0.1)
    assert family.send_data(one, (1, 1)) == set()


@both_families
def test_older_reports_and_leaves_are_snooped(one: Fabric, family: Family) -> None:
    one.send((1, 2), family.old_report(family.host(12), family.group, mac(12)))
    assert family.send_data(one, (1, 1)) == {(1, 2)}
    one.send((1, 2), family.leave(family.host(12), family.group, mac(12)))
    one.advance(2)
    assert family.send_data(one, (1, 1)) == set()


@pytest.mark.parametrize(
    ("family", "group"),
    [
        (IPV4, "224.0.0.251"),
        (IPV6, "ff02::1"),
        (IPV6, "ff02::1:ff00:1"),
        (IPV6, "ff02::2"),
        (IPV6, "ff02::fb"),
    ],
)
def test_link_local_groups_are_flooded_with_and_without_members(
    one: Fabric, family: Family, group: str
) -> None:
    assert family.send_data(one, (1, 1), group) == ALL_OTHERS
    family.join(one, (1, 2), 12, group)
    assert family.send_data(one, (1, 1), group) == ALL_OTHERS


def test_ipv6_groups_that_are_not_valid_on_a_link_are_dropped(one: Fabric) -> None:
    one.send((1, 4), IPV6.query())
    assert IPV6.send_data(one, (1, 1), "ff01::5") == set()
    assert IPV6.send_data(one, (1, 1), "ff05::5") == {(1, 4)}


@both_families
def test_reports_and_leaves_go_to_router_ports_only(one: Fabric, family: Family) -> None:
    assert family.join(one, (1, 2), 12) == set()
    one.send((1, 4), family.query())
    one.forget()
    family.join(one, (1, 3), 13)
    one.send((1, 3), family.old_report(family.host(13), family.group, mac(13)))
    one.send((1, 3), family.leave(family.host(13), family.group, mac(13)))
    outputs = [port for port, frame in one.sent if frame[6:12] == mac(13)]
    assert outputs == [(1, 4)] * 3


@both_families
def test_group_data_goes_to_router_ports_too(one: Fabric, family: Family) -> None:
    one.send((1, 4), family.query())
    assert family.send_data(one, (1, 1)) == {(1, 4)}
    family.join(one, (1, 2), 12)
    assert family.send_data(one, (1, 1)) == {(1, 2), (1, 4)}
    one.advance(256)
    assert family.send_data(one, (1, 1)) == {(1, 2)}


@pytest.mark.parametrize(
    ("frame", "targets"),
    [
        (mld.query(), {(1, 4)}),
        (mld.query(version=1), {(1, 4)}),
        (mld.query(source="::"), set()),  # from another switch
        (mld.query(source="2001:db8::1"), set()),
        (mld.query(hlim=64), set()),
    ],
)
def test_only_a_link_local_mld_query_makes_a_router_port(
    one: Fabric, frame: bytes, targets: set[PortRef]
) -> None:
    one.send((1, 4), frame)
    assert IPV6.send_data(one, (1, 1)) == targets
    assert [row["router"] for row in views.ports(one.pipeline.underlay)][3] is bool(targets)


def test_routers_of_one_protocol_get_no_data_of_the_other(one: Fabric) -> None:
    one.send((1, 4), IPV6.query())
    assert IPV4.send_data(one, (1, 1)) == set()
    one.send((1, 3), IPV4.query())
    assert IPV4.send_data(one, (1, 1)) == {(1, 3)}
    assert IPV6.send_data(one, (1, 1)) == {(1, 4)}


def test_unknown_igmp_is_flooded_and_malformed_igmp_is_dropped_and_counted(one: Fabric) -> None:
    one.forget()
    body = bytes([0x30, 0, 0xCF, 0xFF, 0, 0, 0, 0])
    frame = build_frame(IPV4.host(11), ALL_SYSTEMS, body, mac(11))
    one.send((1, 1), frame)
    assert {port for port, sent in one.sent if sent == frame} == ALL_OTHERS
    one.forget()
    one.send((1, 1), frame[:40] + b"\xff" + frame[41:])
    assert one.sent == [] and sum(one.pipeline.malformed.values()) == 1


def test_malformed_mld_is_dropped_and_counted(one: Fabric) -> None:
    one.forget()
    frame = mld.done(mld.address(11), IPV6.group, mac(11))
    one.send((1, 1), frame[:80] + b"\xff" + frame[81:])
    bare = IPv6(src=mld.address(11), dst="ff02::2", hlim=1) / ICMPv6MLDone(mladdr=IPV6.group)
    assert one.send((1, 1), bytes(Ether(src="02:00:00:00:00:11") / bare)) == set()
    assert one.sent == [] and sum(one.pipeline.malformed.values()) == 2


VALID = (
    mld.report(
        mld.address(12),
        (RecordType.CHANGE_TO_EXCLUDE, IPV6.group, 0),
        (RecordType.MODE_IS_INCLUDE, IPV6.same_mac, 2),
        mac=mac(12),
    ),
    mld.done(mld.address(12), IPV6.group, mac(12)),
    mld.query(IPV6.group, mac=ROUTER_MAC, mrd=1000),
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(14, 120), st.integers(0, 255)), max_size=3),
    st.integers(0, 130),
)
def test_a_mutated_mld_frame_is_ignored_unless_it_is_valid(
    frame: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    fabric = Fabric()
    fabric.add(1, 2)
    fabric.forget()
    mutated = bytearray(frame)
    for offset, value in changes:
        mutated[offset % len(frame)] = value
    cut = bytes(mutated[: length + 14])
    fabric.apply(fabric.pipeline.packet_in(1, 1, cut, fabric.now))
    if isinstance(parse(cut), Malformed):
        underlay = fabric.pipeline.underlay
        assert views.groups(underlay) == [] and fabric.sent == []
        assert not any(row["router"] for row in views.ports(underlay))
