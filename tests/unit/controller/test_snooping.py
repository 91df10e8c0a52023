"""Memberships, router ports and the querier, in literal times; and against a simple model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.membership import Leave, Query, Record, RecordType, Report
from controller.snooping import Changes, End, Settings, Snooping

GROUP, OTHER_GROUP = "239.1.1.10", "239.1.1.11"
H1, H2 = "192.0.2.11", "192.0.2.12"
A, B = (1, 1), (1, 2)
ROUTER = Query("192.0.2.1", 3, None, 10.0)


def report(who: str, kind: int = RecordType.CHANGE_TO_EXCLUDE, sources: int = 0) -> Report:
    return Report(who, 3, (Record(kind, GROUP, sources),))


def joined(end: End = A, who: str = H1, settings: Settings | None = None) -> Snooping:
    snooping = Snooping(settings or Settings(), 0.0)
    snooping.hear_report(end, report(who), 0.0)
    return snooping


def run_until(snooping: Snooping, until_s: float) -> list[tuple[float, str | None]]:
    """Serve every deadline up to a time; answers what was asked and when."""
    asked = []
    while (now := snooping.next_deadline()) <= until_s:
        asked += [(now, ask.group) for ask in snooping.expire(now).asks]
    return asked


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
def test_which_records_join(kind: int, sources: int, joins: bool) -> None:
    snooping = Snooping(Settings(), 0.0)
    changes = snooping.hear_report(A, report(H1, kind, sources), 0.0)
    assert snooping.members(GROUP) == (frozenset({A}) if joins else frozenset())
    assert changes.groups == ({GROUP} if joins else set())


def test_a_second_report_changes_nothing() -> None:
    assert joined().hear_report(A, report(H1), 1.0) == Changes()


def test_link_local_groups_are_never_recorded() -> None:
    snooping = Snooping(Settings(), 0.0)
    records = (Record(RecordType.CHANGE_TO_EXCLUDE, "224.0.0.251", 0),)
    assert snooping.hear_report(A, Report(H1, 3, records), 0.0) == Changes()


def test_a_membership_lives_260_seconds_from_its_last_report() -> None:
    snooping = joined()
    snooping.hear_report(A, report(H1), 100.0)
    run_until(snooping, 359.9)
    assert snooping.members(GROUP) == {A}
    run_until(snooping, 360.0)
    assert snooping.groups() == []


def test_ageing_can_be_set() -> None:
    snooping = joined(settings=Settings(ageing_s=3.0))
    run_until(snooping, 3.0)
    assert snooping.groups() == []


def test_the_last_leave_asks_twice_and_removes_after_two_seconds() -> None:
    snooping = joined()
    snooping.hear_leave(A, Leave(H1, GROUP), 10.0)
    assert run_until(snooping, 11.9) == [(10.0, GROUP), (11.0, GROUP)]
    assert snooping.members(GROUP) == {A}
    run_until(snooping, 12.0)
    assert snooping.members(GROUP) == frozenset()


def test_a_repeated_leave_asks_no_more() -> None:
    snooping = joined()
    for now in (10.0, 10.4):
        snooping.hear_report(A, report(H1, RecordType.CHANGE_TO_INCLUDE), now)
    assert run_until(snooping, 13.0) == [(10.0, GROUP), (11.0, GROUP)]


def test_an_answer_to_the_question_keeps_the_membership() -> None:
    snooping = joined()
    snooping.hear_leave(A, Leave(H1, GROUP), 10.0)
    snooping.hear_report(A, report(H2, RecordType.MODE_IS_EXCLUDE), 10.5)
    run_until(snooping, 200.0)
    assert snooping.members(GROUP) == {A} and snooping.reporters(GROUP, A) == [H2]


def test_one_of_two_reporters_leaving_asks_nothing_and_keeps_the_other() -> None:
    snooping = joined()
    snooping.hear_report(A, report(H2), 5.0)
    snooping.hear_leave(A, Leave(H1, GROUP), 10.0)
    assert run_until(snooping, 100.0) == []
    assert snooping.reporters(GROUP, A) == [H2]


def test_a_leave_at_one_port_does_not_touch_another() -> None:
    snooping = joined()
    snooping.hear_report(B, report(H2), 0.0)
    snooping.hear_leave(A, Leave(H1, GROUP), 1.0)
    run_until(snooping, 3.0)
    assert snooping.members(GROUP) == {B}


def test_leaves_do_nothing_while_a_version_1_host_is_known() -> None:
    snooping = joined()
    old = Report(H2, 1, (Record(RecordType.MODE_IS_EXCLUDE, GROUP, 0),))
    snooping.hear_report(A, old, 0.0)
    snooping.hear_leave(A, Leave(H1, GROUP), 1.0)
    assert run_until(snooping, 100.0) == []
    assert snooping.members(GROUP) == {A}


def test_only_a_query_with_a_source_makes_a_router_port() -> None:
    snooping = Snooping(Settings(), 0.0)
    assert not snooping.hear_query(A, Query("0.0.0.0", 3, None, 10.0), 0.0).routers
    assert snooping.routers() == frozenset()
    assert snooping.hear_query(A, ROUTER, 0.0).routers
    assert not snooping.hear_query(A, ROUTER, 1.0).routers
    assert snooping.routers() == {A}


def test_a_router_port_ages_out() -> None:
    snooping = Snooping(Settings(), 0.0)
    snooping.hear_query(A, ROUTER, 0.0)
    run_until(snooping, 254.9)
    assert snooping.routers() == {A}
    run_until(snooping, 255.0)
    assert snooping.routers() == frozenset()


def test_general_queries_go_out_every_interval() -> None:
    snooping = Snooping(Settings(query_interval_s=10), 0.0)
    assert run_until(snooping, 30.0) == [(10.0, None), (20.0, None), (30.0, None)]


@pytest.mark.parametrize(
    ("own", "heard", "silent"),
    [
        ("0.0.0.0", "192.0.2.1", True),
        ("192.0.2.9", "192.0.2.1", True),
        ("192.0.2.9", "192.0.2.10", False),
        ("192.0.2.9", "0.0.0.0", False),
    ],
)
def test_the_querier_yields_to_a_lower_address_only(own: str, heard: str, silent: bool) -> None:
    snooping = Snooping(Settings(querier_address=own), 0.0)
    snooping.hear_query(A, Query(heard, 3, None, 10.0), 1.0)
    assert snooping.is_silent(2.0) is silent
    assert (run_until(snooping, 130.0) == []) is silent
    assert snooping.query_source(2.0) == ("0.0.0.0" if silent else own)


def test_the_querier_resumes_when_the_other_is_gone() -> None:
    snooping = Snooping(Settings(), 0.0)
    snooping.hear_query(A, ROUTER, 1.0)
    assert run_until(snooping, 375.0) == [(375.0, None)]


def test_a_real_queriers_question_shortens_a_membership() -> None:
    snooping = joined()
    snooping.hear_query(B, Query("192.0.2.1", 2, GROUP, 1.0), 10.0)
    run_until(snooping, 12.0)
    assert snooping.members(GROUP) == frozenset()


def test_ports_that_came_up_are_asked_twice() -> None:
    snooping = Snooping(Settings(), 0.0)
    snooping.start_asking([A, B], 5.0)
    asks = snooping.expire(5.0).asks
    assert [(ask.ends, ask.max_response_s) for ask in asks] == [(frozenset({A, B}), 0.5)]
    assert run_until(snooping, 7.0) == [(6.0, None)]


def test_a_restored_membership_waits_for_reports() -> None:
    snooping = Snooping(Settings(), 0.0)
    snooping.restore(GROUP, A, 0.0)
    assert snooping.members(GROUP) == {A} and snooping.reporters(GROUP, A) == []
    snooping.hear_report(A, report(H1), 1.0)
    snooping.restore(GROUP, A, 2.0)
    assert snooping.reporters(GROUP, A) == [H1]


def test_a_port_takes_its_memberships_and_its_router_with_it() -> None:
    snooping = joined()
    snooping.hear_query(A, ROUTER, 0.0)
    assert snooping.forget_port(A) == Changes({GROUP}, routers=True)
    assert snooping.groups() == [] and snooping.routers() == frozenset()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "query", "wait"]),
        st.sampled_from([A, B]),
        st.sampled_from([H1, H2]),
        st.sampled_from([GROUP, OTHER_GROUP]),
        st.sampled_from([0.3, 1.0, 2.5, 90.0, 261.0]),
    ),
    max_size=40,
)


class Model:
    """The same rules, written down naively: looks at every entry at every step."""

    def __init__(self) -> None:
        self.until: dict[tuple[str, End], float] = {}
        self.reporters: dict[tuple[str, End], dict[str, float]] = {}

    def join(self, key: tuple[str, End], who: str, now: float) -> None:
        self.until[key] = now + 260
        self.reporters.setdefault(key, {})[who] = now + 260

    def leave(self, key: tuple[str, End], who: str, now: float) -> None:
        if key in self.until:
            self.reporters[key].pop(who, None)
            rest = [till for till in self.reporters[key].values() if till > now]
            self.until[key] = min(self.until[key], max(rest, default=now + 2))

    def query(self, group: str, now: float) -> None:
        for key in self.until:
            if key[0] == group:
                self.until[key] = min(self.until[key], now + 2)

    def drop(self, now: float) -> None:
        for key in [key for key, until in self.until.items() if until <= now]:
            del self.until[key], self.reporters[key]


@given(STEPS)
def test_snooping_agrees_with_a_simple_model(
    steps: list[tuple[str, End, str, str, float]],
) -> None:
    snooping, model, now = Snooping(Settings(), 0.0), Model(), 0.0
    for verb, end, who, group, seconds in steps:
        if verb == "join":
            kind = RecordType.CHANGE_TO_EXCLUDE
            snooping.hear_report(end, Report(who, 3, (Record(kind, group, 0),)), now)
            model.join((group, end), who, now)
        elif verb == "leave":
            snooping.hear_leave(end, Leave(who, group), now)
            model.leave((group, end), who, now)
        elif verb == "query":
            snooping.hear_query(end, Query("192.0.2.1", 3, group, 1.0), now)
            model.query(group, now)
        else:
            now += seconds
            run_until(snooping, now)
            model.drop(now)
        found = {(g, member) for g in snooping.groups() for member in snooping.members(g)}
        assert found == set(model.until)
