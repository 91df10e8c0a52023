"""IGMP or MLD snooping: memberships, router ports, and the querier. Pure state.

Time is an argument, in seconds of any monotonic clock. All ports are edge ports: this module knows
neither links nor flows. Its methods return what has changed; `pipeline` decides what that means for
the switches.
One `Snooping` handles one protocol; the differences between IGMP and MLD are in `protocols`, and
sections of RFC 3376 cited here stand for those of RFC 3810, too.

The life of a membership (one group at one port):
- It starts with a report of any version: a version without records, EXCLUDE of any kind, or INCLUDE
  or ALLOW with sources (RFC 3376 4.2.12, applied per group: sources are not distinguished). Groups
  in 224.0.0.0/24 and ff02::/16 are not recorded, since their data is flooded (RFC 4541 2.1.2
  point 2).
- It expires `ageing_s` after its last report (Group Membership Interval, RFC 3376 8.4: 260 s).
- Every reporter is recorded. Reports are not forwarded to other hosts (RFC 4541 2.1.1 point 1), so
  no host suppresses its report. Hosts that report from the unspecified address, having no other
  yet, cannot be distinguished; their membership has no reporter.
- A leave (IGMPv2 Leave, MLDv1 Done, or CHANGE_TO_INCLUDE {}) of one of several reporters removes
  only that reporter. The leave of the last reporter starts LAST_MEMBER_COUNT group-specific
  queries, LAST_MEMBER_INTERVAL_S apart, and the membership ends after that time without a report
  (RFC 3376 6.4.2, 8.9).
- While an IGMPv1 host is known at the port, leaves are ignored (RFC 3376 7.3.2): such a host would
  not answer a group-specific query.
- A group-specific query of another querier shortens a membership in the same way (RFC 3376 6.6.1).
- A restored membership (read from a switch's flow) has no reporters until they report.

Router ports are ports where a query arrived from a source other than the unspecified address
(RFC 4541 2.1.1 point 1a). They expire after the Other Querier Present Interval (RFC 3376 8.5).

The querier sends a general query to all ports every `query_interval_s`, and to a port that came up
at once and again after a second, with a short response time. Without an address of its own it uses
the protocol's proxy source, takes no part in the election of queriers and stops while any other
querier is present. With an address, it stops only for a querier with a lower address
(RFC 3376 6.6.2).

Limits: a BLOCK record does not end a membership, it has to expire; PIM Hello and Multicast Router
Discovery (RFC 4286) are not supported.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from .constants import LAST_MEMBER_INTERVAL_S, QUERY_INTERVAL_S, QUERY_RESPONSE_S, ROBUSTNESS
from .flows import PortRef
from .membership import Leave, MembershipReport, Query, RecordType
from .protocols import IGMP, MLD, Protocol, as_number

LAST_MEMBER_COUNT = ROBUSTNESS  # RFC 3376 8.9
LAST_MEMBER_TIME_S = LAST_MEMBER_COUNT * LAST_MEMBER_INTERVAL_S
SHORTEST_RESPONSE_S = (
    0.1  # a query may ask for a response within 0 s; it still needs time to arrive
)
STARTUP_RESPONSE_S = 0.5  # short: members at a new port get no data before their report
STARTUP_REPEAT_S = 1.0  # the first query or its answers can be lost while a port comes up

# Sources are not distinguished, so INCLUDE and ALLOW join if they have any source at all.
_JOINS = {RecordType.MODE_IS_EXCLUDE, RecordType.CHANGE_TO_EXCLUDE}
_JOINS_WITH_SOURCES = {
    RecordType.MODE_IS_INCLUDE,
    RecordType.CHANGE_TO_INCLUDE,
    RecordType.ALLOW_NEW_SOURCES,
}
_NEVER = float("-inf")


@dataclass(frozen=True)
class Settings:
    """Timers in seconds and querier addresses; `ageing_s` None: as computed by RFC 3376 8.4."""

    query_interval_s: float = QUERY_INTERVAL_S
    query_response_s: float = QUERY_RESPONSE_S
    ageing_s: float | None = None
    querier_address: str = IGMP.proxy_source
    mld_querier_address: str = MLD.proxy_source

    def querier(self, protocol: Protocol) -> str:
        """The source address of a protocol's queries, and its address in the election."""
        return self.mld_querier_address if protocol is MLD else self.querier_address

    @property
    def membership_s(self) -> float:
        """How long a membership lasts without a report."""
        if self.ageing_s is not None:
            return self.ageing_s
        # Group Membership Interval, RFC 3376 8.4
        return ROBUSTNESS * self.query_interval_s + self.query_response_s

    @property
    def other_querier_s(self) -> float:
        """How long another querier counts as present after its last query (RFC 3376 8.5)."""
        return ROBUSTNESS * self.query_interval_s + self.query_response_s / 2


@dataclass(frozen=True)
class QueryRequest:
    """A query to send; `group` None: a general query; `ports` None: to every edge port."""

    group: str | None
    ports: frozenset[PortRef] | None
    max_response_s: float


@dataclass
class Changes:
    """The results of one call: groups whose members changed, router ports, queries to send."""

    groups: set[str] = field(default_factory=set)
    routers: bool = False
    queries: list[QueryRequest] = field(default_factory=list)


@dataclass
class _Membership:
    expires_s: float
    reporters: dict[str, float] = field(default_factory=dict)  # address -> time of expiry
    v1_until_s: float = _NEVER  # until then an IGMPv1 host counts as present
    leaving: bool = False  # group-specific queries are being sent


class Snooping:
    """Memberships, router ports and scheduled queries of one protocol."""

    def __init__(self, settings: Settings, now: float, protocol: Protocol = IGMP) -> None:
        self.settings = settings
        self.protocol = protocol
        self._members: dict[str, dict[PortRef, _Membership]] = {}
        self._routers: dict[PortRef, float] = {}
        self._other_querier_until_s = _NEVER
        self._next_general_s = now + settings.query_interval_s
        self._expiries: list[tuple[float, str, PortRef]] = []  # a heap
        self._scheduled: list[tuple[float, int, QueryRequest]] = []  # a heap
        self._order = count()  # makes heap entries of equal times comparable

    def groups(self) -> list[str]:
        """All groups that have a member."""
        return list(self._members)

    def members(self, group: str) -> frozenset[PortRef]:
        """The ports at which the group has members."""
        return frozenset(self._members.get(group, ()))

    def routers(self) -> frozenset[PortRef]:
        """The ports at which multicast routers are."""
        return frozenset(self._routers)

    def reporters(self, group: str, port: PortRef) -> list[str]:
        """The addresses that reported the group at this port."""
        membership = self._members.get(group, {}).get(port)
        return sorted(membership.reporters) if membership else []

    def is_silent(self, now: float) -> bool:
        """True while another querier sends the queries (non-querier state, RFC 3376 6.6.2)."""
        return now < self._other_querier_until_s

    def query_source(self, now: float) -> str:
        """The source address of queries now.

        In non-querier state it must not win the election: ports that come up are still queried.
        """
        if self.is_silent(now):
            return self.protocol.proxy_source
        return self.settings.querier(self.protocol)

    def on_report(self, port: PortRef, report: MembershipReport, now: float) -> Changes:
        """A report arrived at an edge port."""
        changes = Changes()
        for record in report.records:
            if not self.protocol.tracks(record.group):
                continue
            if record.type in _JOINS or (record.sources and record.type in _JOINS_WITH_SOURCES):
                self._join(port, record.group, report, now, changes)
            elif record.type == RecordType.CHANGE_TO_INCLUDE:
                self._leave(port, record.group, report.source, now)
        return changes

    def on_leave(self, port: PortRef, leave: Leave, now: float) -> Changes:
        """An IGMPv2 Leave or an MLDv1 Done arrived at an edge port."""
        self._leave(port, leave.group, leave.source, now)
        return Changes()

    def on_query(self, port: PortRef, query: Query, now: float) -> Changes:
        """A query of another querier arrived at an edge port."""
        changes = Changes()
        is_proxy = query.source == self.protocol.unspecified
        if not is_proxy:
            changes.routers = port not in self._routers
            self._routers[port] = now + self.settings.other_querier_s
            if self._wins_election(query.source):
                self._other_querier_until_s = now + self.settings.other_querier_s
        is_answered = not is_proxy or self.protocol.proxies_are_answered
        can_answer = query.version >= self.protocol.leaving_version
        if query.group is not None and is_answered and can_answer and not query.suppress:
            # Last Member Query Time, RFC 3376 8.10: members that remain report within it.
            until_s = now + LAST_MEMBER_COUNT * max(query.max_response_s, SHORTEST_RESPONSE_S)
            for member, membership in self._members.get(query.group, {}).items():
                if now >= membership.v1_until_s:
                    self._shorten(query.group, member, membership, until_s)
        return changes

    def restore(self, group: str, port: PortRef, now: float) -> None:
        """Add a membership that was read from a switch's flow; its reporters are not known."""
        if self.protocol.tracks(group) and port not in self._members.get(group, {}):
            self._enter(group, port, _Membership(now + self.settings.membership_s))

    def restore_router(self, port: PortRef, now: float) -> None:
        """Add a router port that was read from a switch's flow."""
        self._routers.setdefault(port, now + self.settings.other_querier_s)

    def query_new_ports(self, ports: Iterable[PortRef], now: float) -> None:
        """Ports came up: query them at once, even as non-querier (RFC 4541 2.1.1 point 1b)."""
        request = QueryRequest(None, frozenset(ports), STARTUP_RESPONSE_S)
        for delay_s in (0.0, STARTUP_REPEAT_S):
            self._schedule(now + delay_s, request)

    def forget_port(self, port: PortRef) -> Changes:
        """The port is down, gone, or turned out to be part of a link between switches."""
        changes = Changes(routers=self._routers.pop(port, None) is not None)
        for group in [group for group, ports in self._members.items() if port in ports]:
            self._remove(group, port)
            changes.groups.add(group)
        return changes

    def next_deadline(self) -> float:
        """The time at which `expire` must be called next."""
        deadlines = [self._next_general_s, *self._routers.values()]
        if self._expiries:
            deadlines.append(self._expiries[0][0])
        if self._scheduled:
            deadlines.append(self._scheduled[0][0])
        return min(deadlines)

    def expire(self, now: float) -> Changes:
        """Do everything that is due: remove expired state and return the queries to send."""
        changes = Changes()
        self._expire_members(now, changes)
        for port in [port for port, until_s in self._routers.items() if until_s <= now]:
            del self._routers[port]
            changes.routers = True
        while self._scheduled and self._scheduled[0][0] <= now:
            changes.queries.append(heapq.heappop(self._scheduled)[2])
        if self._next_general_s <= now:
            self._next_general_s = now + self.settings.query_interval_s
            if not self.is_silent(now):
                changes.queries.append(QueryRequest(None, None, self.settings.query_response_s))
        return changes

    def _expire_members(self, now: float, changes: Changes) -> None:
        """Remove expired memberships.

        Each membership has at least one heap entry. A renewal leaves the entry as it is; the entry
        is pushed again with the new time when it comes up.
        """
        while self._expiries and self._expiries[0][0] <= now:
            _, group, port = heapq.heappop(self._expiries)
            membership = self._members.get(group, {}).get(port)
            if membership is None:
                continue
            reporters = membership.reporters
            membership.reporters = {
                who: until_s for who, until_s in reporters.items() if until_s > now
            }
            if membership.expires_s <= now:
                self._remove(group, port)
                changes.groups.add(group)
            else:
                heapq.heappush(self._expiries, (membership.expires_s, group, port))

    def _join(
        self, port: PortRef, group: str, report: MembershipReport, now: float, changes: Changes
    ) -> None:
        until_s = now + self.settings.membership_s
        membership = self._members.get(group, {}).get(port)
        if membership is None:
            membership = _Membership(until_s)
            self._enter(group, port, membership)
            changes.groups.add(group)
        membership.expires_s = until_s  # its heap entry is corrected when it comes up
        membership.leaving = False  # a host has answered
        if report.source != self.protocol.unspecified:
            membership.reporters[report.source] = until_s
        if report.version < self.protocol.leaving_version:
            membership.v1_until_s = until_s

    def _leave(self, port: PortRef, group: str, reporter: str, now: float) -> None:
        membership = self._members.get(group, {}).get(port)
        if membership is None or now < membership.v1_until_s:
            return  # RFC 3376 7.3.2: the IGMPv1 host could not answer a group-specific query
        membership.reporters.pop(reporter, None)
        others = [until_s for until_s in membership.reporters.values() if until_s > now]
        if others:
            # The group stays as long as the other reporters would have kept it.
            self._shorten(group, port, membership, max(others))
        elif not membership.leaving:
            membership.leaving = True
            self._shorten(group, port, membership, now + LAST_MEMBER_TIME_S)
            if not self.is_silent(now):  # otherwise the other querier sends the queries
                request = QueryRequest(group, frozenset({port}), LAST_MEMBER_INTERVAL_S)
                for turn in range(LAST_MEMBER_COUNT):
                    self._schedule(now + turn * LAST_MEMBER_INTERVAL_S, request)

    def _shorten(self, group: str, port: PortRef, membership: _Membership, until_s: float) -> None:
        if until_s < membership.expires_s:
            membership.expires_s = until_s
            heapq.heappush(self._expiries, (until_s, group, port))

    def _enter(self, group: str, port: PortRef, membership: _Membership) -> None:
        self._members.setdefault(group, {})[port] = membership
        heapq.heappush(self._expiries, (membership.expires_s, group, port))

    def _remove(self, group: str, port: PortRef) -> None:
        del self._members[group][port]
        if not self._members[group]:
            del self._members[group]

    def _schedule(self, due_s: float, request: QueryRequest) -> None:
        heapq.heappush(self._scheduled, (due_s, next(self._order), request))

    def _wins_election(self, source: str) -> bool:
        """Whether another querier takes over; every querier does if ours has no address."""
        own = self.settings.querier(self.protocol)
        return own == self.protocol.proxy_source or as_number(source) < as_number(own)
