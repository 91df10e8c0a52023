"""What MLD does otherwise than IGMP, and that the rest is the same, in literal times."""

from __future__ import annotations

import pytest

from controller.membership import Leave, Query, Record, RecordType, Report
from controller.mld import PROXY_SOURCE
from controller.protocols import IGMP, MLD, PROTOCOLS, Protocol, within
from controller.snooping import Changes, Settings, Snooping
from tests.unit.controller.test_snooping import A, B, run_until

GROUP = "ff05::ef01:10a"
H1, H2 = "fe80::11", "fe80::12"
ROUTER = "fe80::1"
TO_EXCLUDE, TO_INCLUDE = RecordType.CHANGE_TO_EXCLUDE, RecordType.CHANGE_TO_INCLUDE


def mld(settings: Settings | None = None) -> Snooping:
    return Snooping(settings or Settings(), 0.0, MLD)


def report(who: str, kind: int = TO_EXCLUDE, group: str = GROUP) -> Report:
    return Report(who, 2, (Record(kind, group, 0),))


def joined() -> Snooping:
    snooping = mld()
    snooping.hear_report(A, report(H1), 0.0)
    return snooping


@pytest.mark.parametrize(
    ("group", "kept"),
    [
        ("ff02::1", False),
        ("ff02::1:ff00:1", False),  # solicited-node: neighbour discovery waits for no report
        ("ff02::fb", False),
        ("ff01::5", False),
        ("ff00::5", False),
        ("ff11::5", False),
        ("ff12::5", True),  # link-local, but of nobody's list: whoever wants it reports
        ("ff05::1:3", True),
        ("ff0e::5", True),
        ("ff3e:40:2001:db8::5", True),
    ],
)
def test_which_groups_are_kept(group: str, kept: bool) -> None:
    snooping = mld()
    snooping.hear_report(A, report(H1, group=group), 0.0)
    snooping.restore(group, B, 0.0)
    assert snooping.members(group) == (frozenset({A, B}) if kept else frozenset())


def test_a_membership_lives_260_seconds_from_its_last_report() -> None:
    snooping = joined()
    run_until(snooping, 259.9)
    assert snooping.members(GROUP) == {A}
    run_until(snooping, 260.0)
    assert snooping.groups() == []


@pytest.mark.parametrize("version", [1, 2])
def test_the_last_leave_asks_twice_and_removes_after_two_seconds(version: int) -> None:
    """MLDv1 hosts say done, are asked, and answer: unlike those of IGMPv1 they can leave."""
    snooping = mld()
    exclude = (Record(RecordType.MODE_IS_EXCLUDE, GROUP, 0),)
    snooping.hear_report(A, Report(H1, version, exclude), 0.0)
    if version == 1:
        snooping.hear_leave(A, Leave(H1, GROUP), 10.0)
    else:
        snooping.hear_report(A, report(H1, TO_INCLUDE), 10.0)
    assert run_until(snooping, 11.9) == [(10.0, GROUP), (11.0, GROUP)]
    assert snooping.members(GROUP) == {A}
    run_until(snooping, 12.0)
    assert snooping.members(GROUP) == frozenset()


def test_who_reports_from_the_unspecified_address_is_a_member_and_no_reporter() -> None:
    """Its next report comes from its own address; by two names its leave would not be the last."""
    snooping = mld()
    assert snooping.hear_report(A, report("::"), 0.0) == Changes({GROUP})
    assert snooping.members(GROUP) == {A} and snooping.reporters(GROUP, A) == []
    snooping.hear_report(A, report(H1), 1.0)
    snooping.hear_leave(A, Leave(H1, GROUP), 10.0)
    assert run_until(snooping, 12.0) == [(10.0, GROUP), (11.0, GROUP)]
    assert snooping.groups() == []


@pytest.mark.parametrize(("source", "shortens"), [(ROUTER, True), ("::", False)])
@pytest.mark.parametrize("version", [1, 2])
def test_only_a_question_that_hosts_answer_shortens(
    source: str, version: int, shortens: bool
) -> None:
    snooping = joined()
    changes = snooping.hear_query(B, Query(source, version, GROUP, 1.0), 10.0)
    assert changes.routers is shortens and (B in snooping.routers()) is shortens
    run_until(snooping, 12.0)
    assert (snooping.groups() == []) is shortens


def test_a_question_to_be_answered_at_once_leaves_time_for_it() -> None:
    snooping = joined()
    snooping.hear_query(B, Query(ROUTER, 1, GROUP, 0.0), 10.0)
    run_until(snooping, 10.1)
    assert snooping.members(GROUP) == {A}
    run_until(snooping, 10.2)
    assert snooping.groups() == []


@pytest.mark.parametrize(
    ("own", "heard", "silent"),
    [
        (PROXY_SOURCE, ROUTER, True),
        (PROXY_SOURCE, "fe80::ffff:ffff:ffff:ff7e", True),
        (PROXY_SOURCE, "::", False),
        ("fe80::9", ROUTER, True),
        ("fe80::9", "fe80::a", False),
        ("fe80::9", "::", False),
    ],
)
def test_the_querier_yields_to_a_lower_address_and_is_answered_all_the_same(
    own: str, heard: str, silent: bool
) -> None:
    snooping = mld(Settings(mld_querier_address=own))
    snooping.hear_query(A, Query(heard, 2, None, 10.0), 1.0)
    assert snooping.is_silent(2.0) is silent
    assert (run_until(snooping, 130.0) == []) is silent
    assert snooping.query_source(2.0) == (PROXY_SOURCE if silent else own)


def test_settings_of_one_protocol_say_nothing_to_the_other() -> None:
    settings = Settings(querier_address="192.0.2.9", mld_querier_address="fe80::9")
    sources = {each: Snooping(settings, 0.0, each).query_source(0.0) for each in PROTOCOLS}
    assert sources == {IGMP: "192.0.2.9", MLD: "fe80::9"}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
def test_every_group_is_flooded_forbidden_or_kept(protocol: Protocol) -> None:
    groups = ["224.0.0.9", "224.0.1.9", "239.9.9.9"]
    if protocol is MLD:
        groups = [f"ff{flags:x}{scope:x}::9" for flags in range(16) for scope in range(16)]
    for group in groups:
        assert within(group, protocol.groups)
        flooded = within(group, protocol.flooded)
        forbidden = protocol.forbidden is not None and within(group, protocol.forbidden)
        assert flooded + forbidden + protocol.records(group) == 1
