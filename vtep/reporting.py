"""Report decisions to observers, with the outcome of the effects that belong to them.

The core decides that a frame is flooded, sent, delivered or answered before anything is sent. The
kernel can still refuse: its queue is full, there is no route, a port is down. The event of such a
frame is therefore held back until each of its effects has succeeded or failed, so that a frame has
one final event:

- all effects succeeded: the event as the core made it;
- all failed: the same event as `dropped`, with the reason of the first failure;
- some copies of a head-end flood failed: `flooded`. `failed` names these remotes and the reasons.

A frame that the core itself dropped stays `dropped`, whatever happens to the ICMP message about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from vtep.drops import DropReason
from vtep.effects import Decision, ToPort, ToUnderlay
from vtep.events import ANSWERED, DELIVERED, DROPPED, FLOODED, SENT, Event

Observer = Callable[[Event], None]

_DEPENDS_ON_EFFECTS = frozenset({FLOODED, SENT, DELIVERED, ANSWERED})


class Reporter:
    """The observers of a VTEP's decisions."""

    def __init__(self, watch: Callable[[bool], None]) -> None:
        """watch: called with True before the first observer, and with False after the last."""
        self._watch = watch
        self._observers: list[Observer] = []

    def subscribe(self, observer: Observer) -> None:
        """Report all decisions from now on to one observer more."""
        if not self._observers:
            self._watch(True)
        self._observers.append(observer)

    def unsubscribe(self, observer: Observer) -> None:
        """Report nothing more to an observer."""
        self._observers.remove(observer)
        if not self._observers:
            self._watch(False)

    def report(self, events: Iterable[Event]) -> None:
        """Pass events on, in order. An observer may unsubscribe while it is called."""
        for event in events:
            for observer in list(self._observers):
                observer(event)

    def hold(self, decision: Decision) -> PendingFate | None:
        """Report what a decision's effects cannot change; return what they can, if anything."""
        effects, events = decision
        if not events:
            return None
        if not effects or events[-1].decision not in _DEPENDS_ON_EFFECTS:
            self.report(events)
            return None
        self.report(events[:-1])
        return PendingFate(events[-1], len(effects), self)


class PendingFate:
    """The event of one frame, until the last of its effects has been carried out."""

    __slots__ = ("_copies", "_event", "_failed", "_reporter", "_unsettled")

    def __init__(self, event: Event, copies: int, reporter: Reporter) -> None:
        """copies: the number of effects; `settle` must be called once for each."""
        self._event = event
        self._copies = self._unsettled = copies
        self._failed: list[tuple[str, DropReason]] = []
        self._reporter = reporter

    def settle(self, effect: ToPort | ToUnderlay, reason: DropReason | None, now: float) -> None:
        """Note that an effect succeeded, or failed for a reason; after the last one, report."""
        if reason is not None:
            destination = effect.destination if isinstance(effect, ToUnderlay) else ""
            self._failed.append((destination, reason))
        self._unsettled -= 1
        if not self._unsettled:
            self._reporter.report([self._final(now)])

    def _final(self, now: float) -> Event:
        if not self._failed:
            return self._event
        failed: tuple[tuple[str, str], ...] = ()
        if self._copies > 1:
            failed = tuple((destination, reason.label) for destination, reason in self._failed)
        if len(self._failed) < self._copies:
            return replace(self._event, failed=failed)
        why = self._failed[0][1].label
        return replace(self._event, now=now, decision=DROPPED, why=why, failed=failed)
