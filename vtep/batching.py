"""Effects of one batch of input that can be carried out together wait for one another.

Whatever does not belong to the run goes after it, so nothing overtakes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeGuard, TypeVar

from vtep.effects import Effect

E = TypeVar("E", bound=Effect)


class Run(Protocol[E]):
    """The rule of what goes together: effects that follow one another, until one does not."""

    def may_begin(self, effect: Effect) -> TypeGuard[E]:
        """Whether a run could begin with it: a quick look."""

    def take(self, effect: E) -> bool:
        """Add it, if it may come behind what is here; the first always may."""

    def end(self) -> None:
        """Begin anew, with none."""


class Batcher(Generic[E]):
    """What one batch has for one edge."""

    def __init__(
        self,
        run: Run[E],
        alone: Callable[[Iterable[Effect]], None],
        together: Callable[[list[E]], None],
    ) -> None:
        """alone: carries out what waits for nothing. together: carries out a run."""
        self._run, self._alone, self._together = run, alone, together
        self._may_begin, self._take = run.may_begin, run.take
        self._effects: list[E] = []

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Carry out what the core asks, now or with what follows."""
        for effect in effects:
            if not self._may_begin(effect):
                if self._effects:
                    self.flush()
                self._alone((effect,))
                continue
            if not self._take(effect):
                self.flush()
                self._take(effect)
            self._effects.append(effect)

    def flush(self) -> None:
        """Carry out what waits, and begin another run."""
        effects, self._effects = self._effects, []
        self._run.end()
        if effects:
            self._together(effects)
