"""The table of one VNI: learning, moving, ageing, limit, static rows. Times are in seconds."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tests.support.frames import A, B, C, mac
from vtep.effects import PortId
from vtep.fdb import Fdb, Outcome, Wheel

V1, V2 = "192.0.2.11", "192.0.2.12"
PORT = PortId(0)
MAC_A, MAC_B, MAC_C = mac(A), mac(B), mac(C)


def table(ageing_s: float = 300.0, limit: int = 1000) -> tuple[Fdb, Wheel]:
    wheel = Wheel(ageing_s)
    return Fdb(10, wheel, limit), wheel


def aged(wheel: Wheel, now: float) -> list[bytes]:
    return [gone for _, gone, _ in wheel.expire(now)]


def test_a_new_mac_is_learned_then_refreshed() -> None:
    fdb, _ = table()
    assert fdb.learn(MAC_A, V1, None, 0.0) is Outcome.LEARNED
    assert fdb.learn(MAC_A, V1, None, 1.0) is Outcome.REFRESHED
    row = fdb.lookup(MAC_A)
    assert row is not None
    assert (row.remote, row.port, row.seen_s, row.kind) == (V1, None, 1.0, "learned")


def test_a_local_row_has_a_port_and_no_remote() -> None:
    fdb, _ = table()
    fdb.learn(MAC_A, None, PORT, 0.0)
    row = fdb.lookup(MAC_A)
    assert row is not None and (row.remote, row.port, row.kind) == (None, PORT, "local")


@pytest.mark.parametrize(
    ("before", "after"),
    [((V1, None), (V2, None)), ((V1, None), (None, PORT)), ((None, PORT), (V1, None))],
)
def test_a_move_refreshes_the_row(
    before: tuple[str | None, PortId | None], after: tuple[str | None, PortId | None]
) -> None:
    fdb, wheel = table()
    fdb.learn(MAC_A, *before, 0.0)
    assert fdb.learn(MAC_A, *after, 200.0) is Outcome.MOVED
    row = fdb.lookup(MAC_A)
    assert row is not None and (row.remote, row.port) == after
    assert aged(wheel, 499.0) == []
    assert aged(wheel, 500.0) == [MAC_A]


@pytest.mark.parametrize("born", [0.0, 0.001, 0.5, 0.999, 1234.25])
@pytest.mark.parametrize("ageing_s", [1.0, 10.0, 300.0])
def test_a_row_expires_within_a_second_of_its_time_and_not_before(
    born: float, ageing_s: float
) -> None:
    fdb, wheel = table(ageing_s)
    fdb.learn(MAC_A, V1, None, born)
    due = wheel.next_due_s()
    assert due is not None and born + ageing_s <= due < born + ageing_s + 1
    assert aged(wheel, born + ageing_s - 0.002) == []
    assert fdb.lookup(MAC_A) is not None
    assert aged(wheel, due) == [MAC_A]
    assert fdb.lookup(MAC_A) is None and wheel.next_due_s() is None


def test_received_frames_refresh_a_row() -> None:
    fdb, wheel = table(300.0)
    for second in range(0, 3000, 299):
        assert aged(wheel, float(second)) == []
        fdb.learn(MAC_A, V1, None, float(second))
    assert aged(wheel, 2990.0 + 299) == []
    assert aged(wheel, 2990.0 + 301) == [MAC_A]


def test_a_lookup_does_not_refresh_a_row() -> None:
    fdb, wheel = table(300.0)
    fdb.learn(MAC_A, V1, None, 0.0)
    for second in range(300):
        assert aged(wheel, float(second)) == []
        fdb.lookup(MAC_A)
    assert aged(wheel, 300.0) == [MAC_A]


def test_a_late_call_removes_all_due_rows() -> None:
    fdb, wheel = table(10.0)
    fdb.learn(MAC_A, V1, None, 0.0)
    fdb.learn(MAC_B, V1, None, 5.0)
    fdb.learn(MAC_C, V1, None, 5.0)
    fdb.learn(MAC_C, V1, None, 999.0)
    assert aged(wheel, 1000.0) == [MAC_A, MAC_B]
    assert list(fdb.rows) == [MAC_C]


def test_a_row_learned_again_has_its_full_ageing_time() -> None:
    fdb, wheel = table(10.0)
    fdb.learn(MAC_A, V1, None, 0.0)
    fdb.flush(None)
    fdb.learn(MAC_A, V1, None, 9.0)
    assert aged(wheel, 18.0) == []
    assert aged(wheel, 19.0) == [MAC_A]


def test_tables_share_only_the_timing_wheel() -> None:
    wheel = Wheel(10.0)
    ten, twenty = Fdb(10, wheel, 9), Fdb(20, wheel, 9)
    ten.learn(MAC_A, V1, None, 0.0)
    twenty.learn(MAC_A, V2, None, 0.0)
    twenty.learn(MAC_A, V2, None, 5.0)
    assert [(fdb.vni, row.remote) for fdb, _, row in wheel.expire(10.0)] == [(10, V1)]
    assert twenty.lookup(MAC_A) is not None


# -- static rows


def test_a_static_row_does_not_age_move_or_get_flushed() -> None:
    fdb, wheel = table()
    fdb.set_static(MAC_A, V1, 0.0)
    assert fdb.learn(MAC_A, V2, None, 1.0) is Outcome.CONFLICT
    assert fdb.learn(MAC_A, None, PORT, 1.0) is Outcome.CONFLICT
    assert fdb.learn(MAC_A, V1, None, 1.0) is Outcome.REFRESHED
    assert fdb.flush(None) == fdb.flush(MAC_A) == []
    assert aged(wheel, 1e6) == []
    row = fdb.lookup(MAC_A)
    assert row is not None and (row.remote, row.kind) == (V1, "static")


def test_a_static_row_replaces_a_learned_one() -> None:
    fdb, wheel = table(limit=1)
    fdb.learn(MAC_A, V2, None, 0.0)
    fdb.set_static(MAC_A, V1, 1.0)
    assert aged(wheel, 1e6) == [] and len(wheel) == 0
    assert fdb.learn(MAC_B, V2, None, 2.0) is Outcome.LEARNED, "its place is free again"


def test_only_static_rows_are_removed_by_remove_static() -> None:
    fdb, _ = table()
    fdb.learn(MAC_A, V1, None, 0.0)
    fdb.set_static(MAC_B, V1, 0.0)
    assert [fdb.remove_static(each) for each in (MAC_A, MAC_B, MAC_B, MAC_C)] == [
        False, True, False, False,
    ]  # fmt: skip
    assert list(fdb.rows) == [MAC_A]


# -- limit


def test_above_the_limit_nothing_is_learned_and_nothing_evicted() -> None:
    fdb, wheel = table(10.0, limit=2)
    fdb.learn(MAC_A, V1, None, 0.0)
    fdb.learn(MAC_B, V1, None, 5.0)
    assert fdb.learn(MAC_C, V1, None, 5.0) is Outcome.FULL
    assert fdb.learn(MAC_A, V2, None, 5.0) is Outcome.MOVED, "a known MAC may move all the same"
    assert list(fdb.rows) == [MAC_A, MAC_B]
    assert aged(wheel, 15.0) == [MAC_A, MAC_B]
    assert fdb.learn(MAC_C, V1, None, 15.0) is Outcome.LEARNED


def test_static_rows_do_not_count_against_the_limit() -> None:
    fdb, _ = table(limit=1)
    fdb.set_static(MAC_A, V1, 0.0)
    assert fdb.learn(MAC_B, V1, None, 0.0) is Outcome.LEARNED
    assert fdb.learn(MAC_C, V1, None, 0.0) is Outcome.FULL
    fdb.set_static(MAC_C, V1, 0.0)
    assert len(fdb.rows) == 3


# -- flush


def test_flush_of_all_and_of_one() -> None:
    fdb, _ = table()
    for number, each in enumerate((MAC_A, MAC_B, MAC_C)):
        fdb.learn(each, V1, None, float(number))
    assert [gone for gone, _ in fdb.flush(MAC_B)] == [MAC_B]
    assert fdb.flush(MAC_B) == []
    assert [gone for gone, _ in fdb.flush(None)] == [MAC_A, MAC_C]
    assert fdb.rows == {}


def test_the_wheel_does_not_grow_when_rows_are_added_and_removed() -> None:
    fdb, wheel = table(300.0)
    for round_ in range(20_000):
        fdb.learn(MAC_A, V1, None, round_ / 1000)
        fdb.learn(MAC_B, V1, None, round_ / 1000)
        fdb.flush(MAC_A if round_ % 2 else None)
    assert len(wheel) == len(fdb.rows) <= 2
    slots = wheel._slots
    assert len(slots) <= 301
    assert sum(slot.entries() for slot in slots.values()) < 1100


def test_the_wheel_releases_a_cleared_table() -> None:
    fdb, wheel = table()
    fdb.learn(MAC_A, V1, None, 0.0)
    fdb.set_static(MAC_B, V1, 0.0)
    fdb.clear()
    assert fdb.rows == {} and len(wheel) == 0
    assert aged(wheel, 1e6) == []


# -- against a model


class AgainstADict(RuleBasedStateMachine):
    """A table and a dict of (remote, static, seen), which must always be equal."""

    AGEING_S, LIMIT = 3.0, 3
    macs = Bundle("macs")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.wheel = Wheel(self.AGEING_S)
        self.fdb = Fdb(10, self.wheel, self.LIMIT)
        self.model: dict[bytes, tuple[str | None, bool, float]] = {}

    @rule(target=macs, number=st.integers(0, 5))
    def name(self, number: int) -> bytes:
        return bytes((2, 0, 0, 0, 0, number))

    @rule(station=macs, remote=st.sampled_from([None, V1, V2]))
    def learn(self, station: bytes, remote: str | None) -> None:
        outcome = self.fdb.learn(station, remote, PORT if remote is None else None, self.now)
        known = self.model.get(station)
        if known is None:
            full = sum(not static for _, static, _ in self.model.values()) >= self.LIMIT
            assert outcome is (Outcome.FULL if full else Outcome.LEARNED)
            if full:
                return
        elif known[0] == remote:
            assert outcome is Outcome.REFRESHED
        else:
            assert outcome is (Outcome.CONFLICT if known[1] else Outcome.MOVED)
            if known[1]:
                return
        self.model[station] = (remote, known is not None and known[1], self.now)

    @rule(station=macs, remote=st.sampled_from([V1, V2]))
    def set_static(self, station: bytes, remote: str) -> None:
        self.fdb.set_static(station, remote, self.now)
        self.model[station] = (remote, True, self.now)

    @rule(station=macs)
    def remove_static(self, station: bytes) -> None:
        static = station in self.model and self.model[station][1]
        assert self.fdb.remove_static(station) is static
        if static:
            del self.model[station]

    @rule(station=st.one_of(st.none(), macs))
    def flush(self, station: bytes | None) -> None:
        gone = {each for each, (_, static, _) in self.model.items()
                if not static and station in (None, each)}  # fmt: skip
        assert {each for each, _ in self.fdb.flush(station)} == gone
        for each in gone:
            del self.model[each]

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.75, 4.0]))
    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.wheel.next_due_s()) is not None and due <= until:
            for each in aged(self.wheel, due):
                _, static, seen = self.model.pop(each)
                assert not static and math.ceil(seen + self.AGEING_S) == due
        self.now = until
        assert all(
            static or math.ceil(seen + self.AGEING_S) > self.now
            for _, static, seen in self.model.values()
        )

    @invariant()
    def agrees(self) -> None:
        rows = {each: (row.remote, row.static) for each, row in self.fdb.rows.items()}
        assert rows == {each: (remote, static) for each, (remote, static, _) in self.model.items()}
        assert len(self.wheel) == sum(not static for _, static in rows.values())


AgainstADict.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgainstADict = AgainstADict.TestCase
