"""Batching: effects that fit together are carried out in runs, and their order never changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

from hypothesis import given
from hypothesis import strategies as st

from vtep.batching import Batcher
from vtep.effects import Effect, JoinGroup, ToUnderlay
from vtep.reporting import PendingFate


class Alike:
    """The rule: up to three packets to one destination."""

    def __init__(self) -> None:
        self.taken: list[ToUnderlay] = []

    def may_begin(self, effect: Effect) -> TypeGuard[ToUnderlay]:
        return isinstance(effect, ToUnderlay)

    def take(self, effect: ToUnderlay) -> bool:
        fits = len(self.taken) < 3 and all(
            each.destination == effect.destination for each in self.taken
        )
        if fits:
            self.taken.append(effect)
        return fits

    def end(self) -> None:
        self.taken = []


def packet(destination: str) -> ToUnderlay:
    return ToUnderlay(destination, bytearray(), 10, False)


def carried_out(effects: Iterable[Effect]) -> list[list[Effect]]:
    done: list[list[Effect]] = []

    def alone(effect: Effect, _fate: PendingFate | None) -> None:
        done.append([effect])

    def together(run: list[ToUnderlay], fates: list[PendingFate | None]) -> None:
        assert fates == [None] * len(run)
        done.append([*run])

    batcher = Batcher(Alike(), lambda decision: None, alone, together)
    for effect in effects:
        batcher.carry_out(((effect,), ()))
    batcher.flush()
    return done


def test_a_run_ends_by_its_rule_and_before_other_effects() -> None:
    a, b, other = packet("a"), packet("b"), JoinGroup("g")
    assert carried_out([a, a, b, other, b, a]) == [[a, a], [b], [other], [b], [a]]
    assert carried_out([a] * 7) == [[a] * 3, [a] * 3, [a]]
    assert carried_out([]) == []


@given(st.lists(st.sampled_from([packet("a"), packet("b"), JoinGroup("g")])))
def test_the_order_of_effects_never_changes(effects: list[Effect]) -> None:
    done = carried_out(effects)
    assert [effect for run in done for effect in run] == effects
    assert all(done)
