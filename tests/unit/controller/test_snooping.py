"""Memberships, router ports and the querier of both protocols, at literal times."""

from __future__ import annotations

import pytest

from controller.constants import MLD_PROXY_SOURCE
from controller.membership import Leave, MembershipReport, Query, Record, RecordType
from controller.protocols import IGMP, MLD, PROTOCOLS, Protocol, within
from controller.snooping import Changes, Settings, Snooping
from tests.support.families import IPV4, IPV6, Family, both_families
from tests.unit.controller.snooped import A, B, joined, leave, report, run_until, snooping_of


@both_families
@pytest.mark.parametrize(
    ("kind", "sources", "joins"),
    [
        (RecordType.MODE_IS_EXCLUDE, 0, True),
        (RecordType.CHANGE_TO_EXCLUDE, 0, True),
        (RecordType.CHANGE_TO_EXCLUDE, 2, True),
        (RecordType.MODE_IS_INCLUDE, 1, True),
        (RecordType.CHANGE_TO_INCLUDE, 1, True),
        (RecordType.ALLOW_NEW_SOURCES, 1, True),
        (RecordType.MODE_IS_INCLUDE, 0, False),
        (RecordType.CHANGE_TO_INCLUDE, 0, False),
        (RecordType.BLOCK_OLD_SOURCES, 1, False),
        (77, 1, False),
    ],
)
def test_which_records_join(family: Family, kind: int, sources: int, joins: bool) -> None:
    snooping = snooping_of(family)
    changes = snooping.on_report(A, report(family, 11, kind, sources), 0.0)
    assert snooping.members(family.group) == (frozenset({A}) if joins else frozenset())
    assert changes.groups == ({family.group} if joins else set())


@both_families
def test_a_second_report_changes_nothing(family: Family) -> None:
    assert joined(family).on_report(A, report(family, 11), 1.0) == Changes()


@pytest.mark.parametrize(
    ("family", "group", "is_kept"),
    [
        (IPV4, "224.0.0.251", False),
        (IPV4, "239.1.1.10", True),
        (IPV6, "ff02::1", False),
        (IPV6, "ff02::1:ff00:1", False),  # solicited-node: neighbour discovery needs no report
        (IPV6, "ff02::fb", False),
        (IPV6, "ff01::5", False),
        (IPV6, "ff00::5", False),
        (IPV6, "ff11::5", False),
        (IPV6, "ff12::5", True),  # link-local, but not a well-known group: members report it
        (IPV6, "ff05::1:3", True),
        (IPV6, "ff0e::5", True),
        (IPV6, "ff3e:40:2001:db8::5", True),
    ],
)
def test_which_groups_are_recorded(family: Family, group: str, is_kept: bool) -> None:
    snooping = snooping_of(family)
    changes = snooping.on_report(A, report(family, 11, group=group), 0.0)
    assert changes == (Changes({group}) if is_kept else Changes())
    snooping.restore(group, B, 0.0)
    assert snooping.members(group) == (frozenset({A, B}) if is_kept else frozenset())


@both_families
def test_a_membership_expires_260_seconds_after_its_last_report(family: Family) -> None:
    snooping = joined(family)
    snooping.on_report(A, report(family, 11), 100.0)
    run_until(snooping, 359.9)
    assert snooping.members(family.group) == {A}
    run_until(snooping, 360.0)
    assert snooping.groups() == []


@both_families
def test_a_membership_of_one_report_expires_after_260_seconds(family: Family) -> None:
    snooping = joined(family)
    run_until(snooping, 259.9)
    assert snooping.members(family.group) == {A}
    run_until(snooping, 260.0)
    assert snooping.groups() == []


@both_families
def test_the_ageing_time_can_be_set(family: Family) -> None:
    snooping = joined(family, settings=Settings(ageing_s=3.0))
    run_until(snooping, 3.0)
    assert snooping.groups() == []


@both_families
@pytest.mark.parametrize("is_old", [False, True])
def test_the_last_leave_queries_twice_and_removes_after_two_seconds(
    family: Family, is_old: bool
) -> None:
    """IGMPv2 and MLDv1 hosts send a leave message and answer queries, unlike IGMPv1 hosts."""
    snooping, group = snooping_of(family), family.group
    version = family.version - is_old
    exclude = (Record(RecordType.MODE_IS_EXCLUDE, group, 0),)
    snooping.on_report(A, MembershipReport(family.host(11), version, exclude), 0.0)
    if is_old:
        snooping.on_leave(A, leave(family, 11), 10.0)
    else:
        snooping.on_report(A, report(family, 11, RecordType.CHANGE_TO_INCLUDE), 10.0)
    assert run_until(snooping, 11.9) == [(10.0, group), (11.0, group)]
    assert snooping.members(group) == {A}
    run_until(snooping, 12.0)
    assert snooping.members(group) == frozenset()


@both_families
def test_a_repeated_leave_sends_no_more_queries(family: Family) -> None:
    snooping = joined(family)
    for now in (10.0, 10.4):
        snooping.on_report(A, report(family, 11, RecordType.CHANGE_TO_INCLUDE), now)
    assert run_until(snooping, 13.0) == [(10.0, family.group), (11.0, family.group)]


@both_families
def test_an_answer_to_the_query_keeps_the_membership(family: Family) -> None:
    snooping = joined(family)
    snooping.on_leave(A, leave(family, 11), 10.0)
    snooping.on_report(A, report(family, 12, RecordType.MODE_IS_EXCLUDE), 10.5)
    run_until(snooping, 200.0)
    assert snooping.members(family.group) == {A}
    assert snooping.reporters(family.group, A) == [family.host(12)]


@both_families
def test_a_leave_of_one_of_two_reporters_queries_nothing_and_keeps_the_other(
    family: Family,
) -> None:
    snooping = joined(family)
    snooping.on_report(A, report(family, 12), 5.0)
    snooping.on_leave(A, leave(family, 11), 10.0)
    assert run_until(snooping, 100.0) == []
    assert snooping.reporters(family.group, A) == [family.host(12)]


@both_families
def test_after_a_leave_the_membership_lasts_as_long_as_the_other_reporter(family: Family) -> None:
    snooping = joined(family)
    snooping.on_report(A, report(family, 12), 100.0)
    snooping.on_leave(A, leave(family, 12), 110.0)
    run_until(snooping, 259.9)
    assert snooping.members(family.group) == {A}
    run_until(snooping, 260.0)
    assert snooping.groups() == []


@both_families
def test_a_leave_at_one_port_does_not_affect_another(family: Family) -> None:
    snooping = joined(family)
    snooping.on_report(B, report(family, 12), 0.0)
    snooping.on_leave(A, leave(family, 11), 1.0)
    run_until(snooping, 3.0)
    assert snooping.members(family.group) == {B}


def test_leaves_are_ignored_while_an_igmpv1_host_is_known() -> None:
    snooping, group = joined(IPV4), IPV4.group
    old = MembershipReport(IPV4.host(12), 1, (Record(RecordType.MODE_IS_EXCLUDE, group, 0),))
    snooping.on_report(A, old, 0.0)
    snooping.on_leave(A, leave(IPV4, 11), 1.0)
    assert run_until(snooping, 100.0) == []
    assert snooping.members(group) == {A}


@both_families
def test_a_report_from_the_unspecified_address_gives_a_member_without_reporter(
    family: Family,
) -> None:
    """The host's next report has its own address. If both were recorded, its leave would not be the
    last one.
    """
    snooping, group = snooping_of(family), family.group
    exclude = (Record(RecordType.CHANGE_TO_EXCLUDE, group, 0),)
    anonymous = MembershipReport(family.unspecified, family.version, exclude)
    assert snooping.on_report(A, anonymous, 0.0) == Changes({group})
    assert snooping.members(group) == {A} and snooping.reporters(group, A) == []
    snooping.on_report(A, report(family, 11), 1.0)
    snooping.on_leave(A, leave(family, 11), 10.0)
    assert run_until(snooping, 12.0) == [(10.0, group), (11.0, group)]
    assert snooping.groups() == []


@both_families
def test_only_a_query_from_an_address_makes_a_router_port(family: Family) -> None:
    snooping = snooping_of(family)
    proxy = Query(family.unspecified, family.version, None, 10.0)
    router = Query(family.router, family.version, None, 10.0)
    assert not snooping.on_query(A, proxy, 0.0).routers
    assert snooping.routers() == frozenset()
    assert snooping.on_query(A, router, 0.0).routers
    assert not snooping.on_query(A, router, 1.0).routers
    assert snooping.routers() == {A}


@both_families
def test_a_router_port_expires(family: Family) -> None:
    snooping = snooping_of(family)
    snooping.on_query(A, Query(family.router, family.version, None, 10.0), 0.0)
    run_until(snooping, 254.9)
    assert snooping.routers() == {A}
    run_until(snooping, 255.0)
    assert snooping.routers() == frozenset()


@both_families
def test_general_queries_are_sent_every_interval(family: Family) -> None:
    snooping = snooping_of(family, Settings(query_interval_s=10))
    assert run_until(snooping, 30.0) == [(10.0, None), (20.0, None), (30.0, None)]


@pytest.mark.parametrize(
    ("family", "own", "other", "is_silent"),
    [
        (IPV4, "0.0.0.0", "192.0.2.1", True),
        (IPV4, "192.0.2.9", "192.0.2.1", True),
        (IPV4, "192.0.2.9", "192.0.2.10", False),
        (IPV4, "192.0.2.9", "0.0.0.0", False),
        (IPV6, MLD_PROXY_SOURCE, "fe80::1", True),
        (IPV6, MLD_PROXY_SOURCE, "fe80::ffff:ffff:ffff:ff7e", True),
        (IPV6, MLD_PROXY_SOURCE, "::", False),
        (IPV6, "fe80::9", "fe80::1", True),
        (IPV6, "fe80::9", "fe80::a", False),
        (IPV6, "fe80::9", "::", False),
    ],
)
def test_the_querier_stops_only_for_a_lower_address(
    family: Family, own: str, other: str, is_silent: bool
) -> None:
    is_ipv4 = family is IPV4
    settings = Settings(querier_address=own) if is_ipv4 else Settings(mld_querier_address=own)
    snooping = snooping_of(family, settings)
    snooping.on_query(A, Query(other, family.version, None, 10.0), 1.0)
    assert snooping.is_silent(2.0) is is_silent
    assert (run_until(snooping, 130.0) == []) is is_silent
    assert snooping.query_source(2.0) == (family.proxy if is_silent else own)


@both_families
def test_the_querier_resumes_when_the_other_is_gone(family: Family) -> None:
    snooping = snooping_of(family)
    snooping.on_query(A, Query(family.router, family.version, None, 10.0), 1.0)
    assert run_until(snooping, 375.0) == [(375.0, None)]


@both_families
@pytest.mark.parametrize("is_old", [False, True])
def test_a_group_specific_query_of_another_querier_shortens_a_membership(
    family: Family, is_old: bool
) -> None:
    snooping = joined(family)
    query = Query(family.router, family.version - is_old, family.group, 1.0)
    assert snooping.on_query(B, query, 10.0).routers and B in snooping.routers()
    run_until(snooping, 12.0)
    assert snooping.members(family.group) == frozenset()
    assert snooping.groups() == []


@pytest.mark.parametrize("version", [1, 2])
def test_an_mld_query_that_hosts_do_not_answer_shortens_nothing(version: int) -> None:
    """Hosts ignore MLD queries from the unspecified address (RFC 3810 5.1.14)."""
    snooping = joined(IPV6)
    changes = snooping.on_query(B, Query("::", version, IPV6.group, 1.0), 10.0)
    assert not changes.routers and B not in snooping.routers()
    run_until(snooping, 12.0)
    assert snooping.groups() == [IPV6.group]


@both_families
def test_a_query_with_the_flag_s_shortens_nothing(family: Family) -> None:
    snooping = joined(family)
    query = Query(family.router, family.version, family.group, 1.0, suppress=True)
    snooping.on_query(B, query, 10.0)
    run_until(snooping, 100.0)
    assert snooping.members(family.group) == {A}


@both_families
def test_a_leave_is_not_queried_while_another_querier_is_present(family: Family) -> None:
    snooping = joined(family)
    snooping.on_query(B, Query(family.router, family.version, None, 10.0), 1.0)
    snooping.on_leave(A, leave(family, 11), 10.0)
    assert run_until(snooping, 12.0) == []
    assert snooping.groups() == []


@both_families
def test_a_second_leave_after_an_answer_is_queried_again(family: Family) -> None:
    snooping, group = joined(family), family.group
    snooping.on_leave(A, leave(family, 11), 10.0)
    snooping.on_report(A, report(family, 11), 10.5)
    assert run_until(snooping, 19.0) == [(10.0, group), (11.0, group)]
    snooping.on_leave(A, leave(family, 11), 20.0)
    assert run_until(snooping, 22.0) == [(20.0, group), (21.0, group)]
    assert snooping.groups() == []


@both_families
def test_a_query_with_response_time_0_leaves_time_for_an_answer(family: Family) -> None:
    snooping = joined(family)
    snooping.on_query(B, Query(family.router, family.version, family.group, 0.0), 10.0)
    run_until(snooping, 10.1)
    assert snooping.members(family.group) == {A}
    run_until(snooping, 10.2)
    assert snooping.groups() == []


@both_families
def test_ports_that_came_up_are_queried_twice(family: Family) -> None:
    snooping = snooping_of(family)
    snooping.query_new_ports([A, B], 5.0)
    queries = snooping.expire(5.0).queries
    assert [(q.ports, q.max_response_s) for q in queries] == [(frozenset({A, B}), 0.5)]
    assert run_until(snooping, 7.0) == [(6.0, None)]


@both_families
def test_a_restored_membership_has_no_reporters_until_they_report(family: Family) -> None:
    snooping, group = snooping_of(family), family.group
    snooping.restore(group, A, 0.0)
    assert snooping.members(group) == {A} and snooping.reporters(group, A) == []
    snooping.on_report(A, report(family, 11), 1.0)
    snooping.restore(group, A, 2.0)
    assert snooping.reporters(group, A) == [family.host(11)]


@both_families
def test_the_memberships_and_the_router_of_a_forgotten_port_are_removed(family: Family) -> None:
    snooping = joined(family)
    snooping.on_query(A, Query(family.router, family.version, None, 10.0), 0.0)
    assert snooping.forget_port(A) == Changes({family.group}, routers=True)
    assert snooping.groups() == [] and snooping.routers() == frozenset()


def test_each_protocol_has_its_own_querier_address() -> None:
    settings = Settings(querier_address="192.0.2.9", mld_querier_address="fe80::9")
    sources = {each: Snooping(settings, 0.0, each).query_source(0.0) for each in PROTOCOLS}
    assert sources == {IGMP: "192.0.2.9", MLD: "fe80::9"}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: str(each.name))
def test_every_group_is_flooded_forbidden_or_recorded(protocol: Protocol) -> None:
    groups = ["224.0.0.9", "224.0.1.9", "239.9.9.9"]
    if protocol is MLD:
        groups = [f"ff{flags:x}{scope:x}::9" for flags in range(16) for scope in range(16)]
    for group in groups:
        assert within(group, protocol.groups)
        flooded = within(group, protocol.flooded)
        forbidden = protocol.forbidden is not None and within(group, protocol.forbidden)
        assert flooded + forbidden + protocol.tracks(group) == 1


def test_a_leave_without_a_membership_is_ignored() -> None:
    snooping = snooping_of(IPV4)
    assert snooping.on_leave(A, Leave(IPV4.host(11), IPV4.group), 1.0) == Changes()
    assert run_until(snooping, 100.0) == []
