"""Snooping compared with a simple model over random sequences of messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.flows import PortRef
from controller.membership import Leave, Query
from tests.support.families import Family, both_families
from tests.unit.controller.snooped import A, B, report, run_until, snooping_of

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "query", "wait"]),
        st.sampled_from([A, B]),
        st.sampled_from([11, 12]),
        st.booleans(),
        st.sampled_from([0.3, 1.0, 2.5, 90.0, 261.0]),
    ),
    max_size=40,
)


class Model:
    """The same rules in their simplest form: it looks at every entry at every step."""

    def __init__(self) -> None:
        self.until: dict[tuple[str, PortRef], float] = {}
        self.reporters: dict[tuple[str, PortRef], dict[str, float]] = {}

    def join(self, key: tuple[str, PortRef], host: str, now: float) -> None:
        self.until[key] = now + 260
        self.reporters.setdefault(key, {})[host] = now + 260

    def leave(self, key: tuple[str, PortRef], host: str, now: float) -> None:
        if key in self.until:
            self.reporters[key].pop(host, None)
            rest = [until for until in self.reporters[key].values() if until > now]
            self.until[key] = min(self.until[key], max(rest, default=now + 2))

    def query(self, group: str, now: float) -> None:
        for key in self.until:
            if key[0] == group:
                self.until[key] = min(self.until[key], now + 2)

    def drop(self, now: float) -> None:
        for key in [key for key, until in self.until.items() if until <= now]:
            del self.until[key], self.reporters[key]


@both_families
@given(steps=STEPS)
def test_snooping_agrees_with_a_simple_model(
    family: Family, steps: list[tuple[str, PortRef, int, bool, float]]
) -> None:
    snooping, model, now = snooping_of(family), Model(), 0.0
    for verb, port, number, is_other, seconds in steps:
        group, host = family.other_group if is_other else family.group, family.host(number)
        if verb == "join":
            snooping.on_report(port, report(family, number, group=group), now)
            model.join((group, port), host, now)
        elif verb == "leave":
            snooping.on_leave(port, Leave(host, group), now)
            model.leave((group, port), host, now)
        elif verb == "query":
            snooping.on_query(port, Query(family.router, family.version, group, 1.0), now)
            model.query(group, now)
        else:
            now += seconds
            run_until(snooping, now)
            model.drop(now)
        found = {(g, member) for g in snooping.groups() for member in snooping.members(g)}
        assert found == set(model.until)
