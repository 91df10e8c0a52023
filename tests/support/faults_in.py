"""Faults in receiving, learning and joining groups, for `broken_vtep`.

Rules of this file:
- each changes one thing of vtep/ and leaves all else as it is;
- where it can, it changes what an option or a constant says, so that the code it breaks stays.
"""

# Faults replace functions and methods of the VTEP on purpose.
# mypy: disable-error-code="method-assign, assignment, attr-defined"

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.fault_tools import public, with_options
from vtep import config, core, ecn, neighbours
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Effect, ToPort
from vtep.ethernet import is_learnable, without_tags
from vtep.fdb import Fdb, Outcome
from vtep.underlay.base import Underlay

_SHORT_LIFE, _LONG_LIFE = 0.1, 3.0


# -- receiving


def drops_reserved_bits() -> None:
    """Drops packets with reserved bits set, although strict is not configured."""
    with_options(strict=lambda _: True)


def sixteen_bit_vni() -> None:
    """Reads only two of the VNI's three bytes."""
    check = core.check_header

    def short(datagram: bytes, strict: bool) -> int | DropReason:
        vni = check(datagram, strict)
        known = isinstance(vni, DropReason) or vni > 0xABCDEF - 1
        return vni if known else vni & 0xFFFF

    core.check_header = short


def takes_the_tag_off() -> None:
    """Delivers a decapsulated frame with a tag without its tag, instead of dropping it."""
    right = Core.datagram_from_underlay

    def lenient(self: Core, sender: str, sport: int, group: bool, data: bytes, *rest: Any) -> Any:
        plain = data[:8] + without_tags(data[8:])
        segment = self.segments.by_vni.get(int.from_bytes(data[4:7], "big"))
        carried = data if segment is None or segment.carry_tags else plain
        return right(self, sender, sport, group, carried, *rest)

    Core.datagram_from_underlay = lenient


def delivers_twice() -> None:
    """Delivers each frame twice if it was sent to a group."""
    right = Core.datagram_from_underlay

    def doubling(self: Core, sender: str, sport: int, to_group: bool, *rest: Any) -> Any:
        effects = list(right(self, sender, sport, to_group, *rest))
        return effects * 2 if to_group else effects

    Core.datagram_from_underlay = doubling


def wrong_cell() -> None:
    """Ignores outer ECT(1) if the inner packet has ECT(0), as in RFC 3168."""
    del ecn._CHANGED[ecn.ECT_0, ecn.ECT_1]


def keeps_the_inner_checksum() -> None:
    """Marks an inner IPv4 packet without updating its header checksum."""
    mark = ecn._marked

    def careless(frame: bytes, congestion: int) -> bytes:
        at, version = ecn._ip(frame)
        marked = mark(frame, congestion)
        return (
            marked
            if version == 6
            else marked[: at + 10] + frame[at + 10 : at + 12] + marked[at + 12 :]
        )

    ecn._marked = careless


# -- tables


def ages_late() -> None:
    """Entries expire after three times the ageing time."""
    with_options(ageing_s=lambda seconds: seconds * _LONG_LIFE)


def ages_early() -> None:
    """Entries expire after a tenth of the ageing time."""
    with_options(ageing_s=lambda seconds: seconds * _SHORT_LIFE)


def renews_nothing() -> None:
    """Entries expire although their MACs keep sending."""
    learn = Fdb.learn

    def once(self: Fdb, mac: bytes, *where: Any) -> Outcome:
        row = self.rows.get(mac)
        before = None if row is None else (row.seen_s, row.remote)
        outcome = learn(self, mac, *where)
        if row is not None and before is not None and before[1] == row.remote:
            row.seen_s = before[0]
        return outcome

    Fdb.learn = once


def static_gives_way() -> None:
    """Received frames move a static entry."""
    learn = Fdb.learn

    def yielding(self: Fdb, mac: bytes, *where: Any) -> Outcome:
        row = self.rows.get(mac)
        if row is not None and row.static and row.remote != where[0]:
            self.forget(mac)
        return learn(self, mac, *where)

    Fdb.learn = yielding


def static_gives_way_to_vms() -> None:
    """Frames from VMs, but not from remotes, move a static entry."""
    learn = Fdb.learn

    def yielding(self: Fdb, mac: bytes, remote: str | None, *where: Any) -> Outcome:
        row = self.rows.get(mac)
        if row is not None and row.static and remote is None:
            self.forget(mac)
        return learn(self, mac, remote, *where)

    Fdb.learn = yielding


def never_moves() -> None:
    """A MAC stays where it was learned first."""
    learn = Fdb.learn

    def stubborn(self: Fdb, mac: bytes, remote: str | None, port: Any, now: float) -> Outcome:
        row = self.rows.get(mac)
        if row is not None and not row.static:
            remote, port = row.remote, row.port
        return learn(self, mac, remote, port, now)

    Fdb.learn = stubborn


def learns_without_limit() -> None:
    """Learns more MACs than the limit."""
    with_options(limit=lambda _: 1 << 30)


def one_table_for_all() -> None:
    """Uses one table for all VNIs."""
    shared: dict[bytes, Any] = {}
    make = Fdb.__init__

    def sharing(self: Fdb, *arguments: Any) -> None:
        make(self, *arguments)
        self.rows = shared

    Fdb.__init__ = sharing


def learns_the_untrusted() -> None:
    """Drops packets of untrusted remotes, but learns from them."""
    distrust = Core._distrust

    def learning(self: Core, sender: str, segment: Any, frame: bytes) -> DropReason | None:
        reason = distrust(self, sender, segment, frame)
        if reason is DropReason.UNTRUSTED_REMOTE and is_learnable(frame[6:12]):
            segment.fdb.learn(frame[6:12], sender, None, 0.0 if not segment.fdb.rows else max(
                row.seen_s for row in segment.fdb.rows.values()))  # fmt: skip
        return reason

    Core._distrust = learning


# -- groups and the rest


def never_leaves() -> None:
    """Ends without leaving its groups; the kernel sends no report either."""
    Underlay.leave = lambda self, group: None


def joins_a_strange_group() -> None:
    """Also joins the group after each of its own."""
    join = Underlay.join

    def greedy(self: Underlay, group: str) -> None:
        join(self, group)
        join(self, group[:-1] + str((int(group[-1]) + 1) % 10))

    Underlay.join = greedy


def another_default_port() -> None:
    """Uses 8472 if the file names no port, as the Linux kernel does."""
    config.PORT = 8472


def answers_for_the_wrong_vm() -> None:
    """Replies to ARP for another VM with the requester's own MAC."""
    right = neighbours.answer
    core.neighbours.answer = lambda frame, mac: right(frame, frame[6:12])


def reflects_to_the_vm() -> None:
    """Sends a broadcast of a VM back to the port it came from."""
    right = Core._flood

    def reflecting(self: Core, segment: Any, frame: bytes, now: float) -> Iterable[Effect]:
        back = ToPort(segment.port, segment.vlan, frame, segment.vni, True, None)
        return [*right(self, segment, frame, now), back]

    Core._flood = reflecting


FAULTS = public(dict(vars()))
