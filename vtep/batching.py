"""Collect effects of one batch of input that can be carried out together.

A system call costs more than anything else on the way of a packet. Effects that follow one another
and fit together (a run) are therefore carried out by one call. An effect that does not fit ends the
run and is carried out after it, so the order of effects never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeGuard, TypeVar

from vtep.effects import Decision, Effect
from vtep.reporting import PendingFate

E = TypeVar("E", bound=Effect)


class Run(Protocol[E]):
    """The rule for what fits together."""

    def may_begin(self, effect: Effect) -> TypeGuard[E]:
        """Whether a run could begin with this effect: a cheap check."""

    def take(self, effect: E) -> bool:
        """Add an effect if it fits behind the ones already taken; the first one always fits."""

    def end(self) -> None:
        """Forget all effects taken."""


class Batch(Protocol):
    """Where decisions about one batch of input go."""

    def carry_out(self, decision: Decision) -> None:
        """Carry out a decision's effects, now or in `flush`."""

    def flush(self) -> None:
        """Carry out all effects that are still held; called at the end of the batch."""


class Batcher(Generic[E]):
    """A batch whose effects are carried out in runs."""

    def __init__(
        self,
        run: Run[E],
        hold: Callable[[Decision], PendingFate | None],
        alone: Callable[[Effect, PendingFate | None], None],
        together: Callable[[list[E], list[PendingFate | None]], None],
    ) -> None:
        """hold: see `Reporter.hold`. alone, together: carry out one effect, or a run."""
        self._run, self._hold, self._alone, self._together = run, hold, alone, together
        self._may_begin, self._take = run.may_begin, run.take
        self._effects: list[E] = []
        self._fates: list[PendingFate | None] = []

    def carry_out(self, decision: Decision) -> None:
        """Carry out a decision's effects, now or in `flush`."""
        effects, events = decision
        fate = self._hold(decision) if events else None
        for effect in effects:
            if not self._may_begin(effect):
                if self._effects:
                    self.flush()
                self._alone(effect, fate)
                continue
            if not self._take(effect):
                self.flush()
                self._take(effect)
            self._effects.append(effect)
            self._fates.append(fate)

    def flush(self) -> None:
        """Carry out the run that is held."""
        effects, fates = self._effects, self._fates
        self._effects, self._fates = [], []
        self._run.end()
        if effects:
            self._together(effects, fates)
