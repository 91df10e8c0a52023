"""Who wants which group, where the routers are, when to ask: snooping of IGMP or MLD, and querier.

Pure state; time is an argument, in seconds of any steady clock. Ports are (switch, port) pairs and
always edge ports: this file knows no links and no flows. It answers what has changed; what that
means for the switches is `pipeline`'s business. One `Snooping` keeps one protocol; what IGMP and
MLD do differently stands in `protocols`, and RFC 3376's sections here mean those of RFC 3810, too.

The life of a membership (one group at one port):
- Born of a report of any version: one without records, EXCLUDE of any kind, INCLUDE or ALLOW with
  sources (RFC 3376 4.2.12, seen per group: sources are not told apart). 224.0.0.0/24 and ff02::/16
  are never recorded, since their data floods (RFC 4541 2.1.2 point 2).
- Lives `ageing_s` from its last report (Group Membership Interval, RFC 3376 8.4: 260 s).
- Every reporter is tracked: since reports are not shown to other hosts (RFC 4541 2.1.1 point 1),
  none is suppressed. Only who reports from the unspecified address, having no other yet, cannot be
  told apart, and is asked like one that is not known. A leave (IGMPv2, MLDv1 done, or
  CHANGE_TO_INCLUDE {}) of one of several reporters takes that one away and no more. The last one's
  leave starts group-specific queries, LAST_MEMBER_COUNT of them LAST_MEMBER_INTERVAL_S apart, and
  leaves that long for an answer (RFC 3376 6.4.2, 8.9).
- While an IGMPv1 host is known at the port, leaves do nothing (RFC 3376 7.3.2): it could not
  answer.
- A group-specific query of a real querier shortens it likewise (RFC 3376 6.6.1).
- A restored one (read back from a switch) has no reporters until they report.

Router ports: where a query came from another source than the unspecified address (RFC 4541 2.1.1
point 1a); they age out after the Other Querier Present Interval (RFC 3376 8.5).

The querier asks all ports every `query_interval_s`, and a port that came up at once and again after
a second, to be answered soon. Without an address it sends from the protocol's proxy source, takes
no part in the election and falls silent for any real querier; with one, only for a lower address
(RFC 3376 6.6.2).

Limits: a BLOCK record ends nothing by itself, ageing does; PIM hellos and Multicast Router
Discovery (RFC 4286) are not read.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from .membership import ROBUSTNESS, Leave, Query, RecordType, Report
from .protocols import IGMP, MLD, Protocol, as_number

End = tuple[int, int]  # switch (dpid) and port

LAST_MEMBER_COUNT = ROBUSTNESS
LAST_MEMBER_INTERVAL_S = 1.0
LAST_MEMBER_TIME_S = LAST_MEMBER_COUNT * LAST_MEMBER_INTERVAL_S
LEAST_RESPONSE_S = 0.1  # a query may say 0, at once; an answer still takes its time to come
STARTUP_RESPONSE_S = 0.5
STARTUP_REPEAT_S = 1.0

_JOINS = {RecordType.MODE_IS_EXCLUDE, RecordType.CHANGE_TO_EXCLUDE}
_JOINS_WITH_SOURCES = {
    RecordType.MODE_IS_INCLUDE,
    RecordType.CHANGE_TO_INCLUDE,
    RecordType.ALLOW_NEW_SOURCES,
}


@dataclass(frozen=True)
class Settings:
    """Timers of snooping and querier, in seconds; `ageing_s` None computes RFC 3376 8.4's."""

    query_interval_s: float = 125.0
    query_response_s: float = 10.0
    ageing_s: float | None = None
    querier_address: str = IGMP.proxy_source
    mld_querier_address: str = MLD.proxy_source

    def querier(self, protocol: Protocol) -> str:
        """The address from which the querier of a protocol asks, and stands for election."""
        return self.mld_querier_address if protocol is MLD else self.querier_address

    @property
    def membership_s(self) -> float:
        """How long a membership lives without a report."""
        if self.ageing_s is not None:
            return self.ageing_s
        return ROBUSTNESS * self.query_interval_s + self.query_response_s

    @property
    def other_querier_s(self) -> float:
        """How long a real querier is believed to be there (RFC 3376 8.5)."""
        return ROBUSTNESS * self.query_interval_s + self.query_response_s / 2


@dataclass(frozen=True)
class Ask:
    """A query to be sent now; `ends` None means every edge port."""

    group: str | None
    ends: frozenset[End] | None
    max_response_s: float


@dataclass
class Changes:
    """What an input brought about."""

    groups: set[str] = field(default_factory=set)
    routers: bool = False
    asks: list[Ask] = field(default_factory=list)


@dataclass
class _Membership:
    expires_s: float
    reporters: dict[str, float] = field(default_factory=dict)
    v1_until_s: float = float("-inf")
    leaving: bool = False


class Snooping:
    """Memberships, router ports and the querier's agenda, of one protocol."""

    def __init__(self, settings: Settings, now: float, protocol: Protocol = IGMP) -> None:
        self.settings = settings
        self.protocol = protocol
        self._members: dict[str, dict[End, _Membership]] = {}
        self._routers: dict[End, float] = {}
        self._other_querier_until_s = float("-inf")
        self._next_general_s = now + settings.query_interval_s
        self._expiries: list[tuple[float, str, End]] = []
        self._agenda: list[tuple[float, int, Ask]] = []
        self._order = count()

    def groups(self) -> list[str]:
        """All groups that have a member."""
        return list(self._members)

    def members(self, group: str) -> frozenset[End]:
        """The ports behind which the group has members."""
        return frozenset(self._members.get(group, ()))

    def routers(self) -> frozenset[End]:
        """The ports behind which multicast routers are."""
        return frozenset(self._routers)

    def reporters(self, group: str, end: End) -> list[str]:
        """The addresses that reported the group at this port."""
        membership = self._members.get(group, {}).get(end)
        return sorted(membership.reporters) if membership else []

    def is_silent(self, now: float) -> bool:
        """True while another querier does the asking."""
        return now < self._other_querier_until_s

    def query_source(self, now: float) -> str:
        """The source address of our queries."""
        if self.is_silent(now):
            return self.protocol.proxy_source
        return self.settings.querier(self.protocol)

    def hear_report(self, end: End, report: Report, now: float) -> Changes:
        """A report came in at an edge port."""
        changes = Changes()
        for record in report.records:
            if not self.protocol.records(record.group):
                continue
            if record.type in _JOINS or (record.sources and record.type in _JOINS_WITH_SOURCES):
                self._join(end, record.group, report, now, changes)
            elif record.type == RecordType.CHANGE_TO_INCLUDE:
                self._leave(end, record.group, report.source, now)
        return changes

    def hear_leave(self, end: End, leave: Leave, now: float) -> Changes:
        """An IGMPv2 leave or an MLDv1 done came in at an edge port."""
        self._leave(end, leave.group, leave.source, now)
        return Changes()

    def hear_query(self, end: End, query: Query, now: float) -> Changes:
        """Somebody else's query came in at an edge port."""
        changes = Changes()
        is_proxy = query.source == self.protocol.unspecified
        if not is_proxy:
            changes.routers = end not in self._routers
            self._routers[end] = now + self.settings.other_querier_s
            if self._outranks(query.source):
                self._other_querier_until_s = now + self.settings.other_querier_s
        is_answered = not is_proxy or self.protocol.proxies_are_answered
        can_answer = query.version >= self.protocol.leaving_version
        if query.group is not None and is_answered and can_answer and not query.suppress:
            until_s = now + LAST_MEMBER_COUNT * max(query.max_response_s, LEAST_RESPONSE_S)
            for member, membership in self._members.get(query.group, {}).items():
                if now >= membership.v1_until_s:
                    self._shorten(query.group, member, membership, until_s)
        return changes

    def restore(self, group: str, end: End, now: float) -> None:
        """A membership as read back from a switch's flow; its reporters are not known."""
        if self.protocol.records(group) and end not in self._members.get(group, {}):
            self._enter(group, end, _Membership(now + self.settings.membership_s))

    def restore_router(self, end: End, now: float) -> None:
        """A router port as read back from a switch's flow."""
        self._routers.setdefault(end, now + self.settings.other_querier_s)

    def start_asking(self, ends: Iterable[End], now: float) -> None:
        """Ports came up: ask them at once, whoever is querier (RFC 4541 2.1.1 point 1b)."""
        ask = Ask(None, frozenset(ends), STARTUP_RESPONSE_S)
        for delay_s in (0.0, STARTUP_REPEAT_S):
            self._plan(now + delay_s, ask)

    def forget_port(self, end: End) -> Changes:
        """The port is down, gone, or found to lead to a switch."""
        changes = Changes(routers=self._routers.pop(end, None) is not None)
        for group in [group for group, ends in self._members.items() if end in ends]:
            self._remove(group, end)
            changes.groups.add(group)
        return changes

    def next_deadline(self) -> float:
        """When `expire` has something to do."""
        deadlines = [self._next_general_s, *self._routers.values()]
        if self._expiries:
            deadlines.append(self._expiries[0][0])
        if self._agenda:
            deadlines.append(self._agenda[0][0])
        return min(deadlines)

    def expire(self, now: float) -> Changes:
        """Do all that is due: drop what is too old, and say what is to be asked."""
        changes = Changes()
        self._expire_members(now, changes)
        for end in [end for end, until_s in self._routers.items() if until_s <= now]:
            del self._routers[end]
            changes.routers = True
        while self._agenda and self._agenda[0][0] <= now:
            changes.asks.append(heapq.heappop(self._agenda)[2])
        if self._next_general_s <= now:
            self._next_general_s = now + self.settings.query_interval_s
            if not self.is_silent(now):
                changes.asks.append(Ask(None, None, self.settings.query_response_s))
        return changes

    def _expire_members(self, now: float, changes: Changes) -> None:
        """Each membership has at least one heap entry; those made obsolete by a renewal go back."""
        while self._expiries and self._expiries[0][0] <= now:
            _, group, end = heapq.heappop(self._expiries)
            membership = self._members.get(group, {}).get(end)
            if membership is None:
                continue
            reporters = membership.reporters
            membership.reporters = {who: till for who, till in reporters.items() if till > now}
            if membership.expires_s <= now:
                self._remove(group, end)
                changes.groups.add(group)
            else:
                heapq.heappush(self._expiries, (membership.expires_s, group, end))

    def _join(self, end: End, group: str, report: Report, now: float, changes: Changes) -> None:
        until_s = now + self.settings.membership_s
        membership = self._members.get(group, {}).get(end)
        if membership is None:
            membership = _Membership(until_s)
            self._enter(group, end, membership)
            changes.groups.add(group)
        membership.expires_s = until_s
        membership.leaving = False
        if report.source != self.protocol.unspecified:
            membership.reporters[report.source] = until_s
        if report.version < self.protocol.leaving_version:
            membership.v1_until_s = until_s

    def _leave(self, end: End, group: str, reporter: str, now: float) -> None:
        membership = self._members.get(group, {}).get(end)
        if membership is None or now < membership.v1_until_s:
            return
        membership.reporters.pop(reporter, None)
        others = [until_s for until_s in membership.reporters.values() if until_s > now]
        if others:
            self._shorten(group, end, membership, max(others))
        elif not membership.leaving:
            membership.leaving = True
            self._shorten(group, end, membership, now + LAST_MEMBER_TIME_S)
            if not self.is_silent(now):
                ask = Ask(group, frozenset({end}), LAST_MEMBER_INTERVAL_S)
                for turn in range(LAST_MEMBER_COUNT):
                    self._plan(now + turn * LAST_MEMBER_INTERVAL_S, ask)

    def _shorten(self, group: str, end: End, membership: _Membership, until_s: float) -> None:
        if until_s < membership.expires_s:
            membership.expires_s = until_s
            heapq.heappush(self._expiries, (until_s, group, end))

    def _enter(self, group: str, end: End, membership: _Membership) -> None:
        self._members.setdefault(group, {})[end] = membership
        heapq.heappush(self._expiries, (membership.expires_s, group, end))

    def _remove(self, group: str, end: End) -> None:
        del self._members[group][end]
        if not self._members[group]:
            del self._members[group]

    def _plan(self, due_s: float, ask: Ask) -> None:
        heapq.heappush(self._agenda, (due_s, next(self._order), ask))

    def _outranks(self, source: str) -> bool:
        own = self.settings.querier(self.protocol)
        return own == self.protocol.proxy_source or as_number(source) < as_number(own)
