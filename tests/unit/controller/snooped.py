"""Helpers for the tests of `Snooping`: ports, messages, and a loop that serves the deadlines."""

from __future__ import annotations

from controller.flows import PortRef
from controller.membership import Leave, MembershipReport, Record, RecordType
from controller.snooping import Settings, Snooping
from tests.support.families import Family

A, B = (1, 1), (1, 2)


def snooping_of(family: Family, settings: Settings | None = None) -> Snooping:
    """A family's snooping, started at time 0."""
    return Snooping(settings or Settings(), 0.0, family.protocol)


def report(
    family: Family,
    number: int,
    kind: int = RecordType.CHANGE_TO_EXCLUDE,
    sources: int = 0,
    group: str | None = None,
) -> MembershipReport:
    """A host's report of one record."""
    record = Record(kind, group or family.group, sources)
    return MembershipReport(family.host(number), family.version, (record,))


def leave(family: Family, number: int) -> Leave:
    """A host's leave message."""
    return Leave(family.host(number), family.group)


def joined(family: Family, port: PortRef = A, settings: Settings | None = None) -> Snooping:
    """Host 11 joined the family's group at time 0."""
    snooping = snooping_of(family, settings)
    snooping.on_report(port, report(family, 11), 0.0)
    return snooping


def run_until(snooping: Snooping, until_s: float) -> list[tuple[float, str | None]]:
    """Serve every deadline up to a time; returns the times and groups of all queries."""
    queries = []
    while (now := snooping.next_deadline()) <= until_s:
        queries += [(now, query.group) for query in snooping.expire(now).queries]
    return queries
