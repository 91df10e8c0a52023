"""Single faults of receiving, learning and group membership, for `broken_vtep`.

Rules of this file:
- each fault changes one behaviour of vtep/ and leaves everything else as it is;
- if possible it changes an option or a constant, so that the code itself stays as it is.
"""

from __future__ import annotations

from typing import Any

from tests.support.fault_tools import public, replace, with_options
from vtep import arp_suppression, config, core, ecn
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Decision, ToPort
from vtep.ethernet import is_learnable, without_tags
from vtep.fdb import Fdb, Outcome
from vtep.underlay.base import Underlay

_SHORT_LIFE, _LONG_LIFE = 0.1, 3.0


# -- receiving


def drops_reserved_bits() -> None:
    """Drop packets with a reserved bit set, although `strict` is off."""
    with_options(strict=lambda _: True)


def sixteen_bit_vni() -> None:
    """Read two of the VNI's three bytes."""

    def shortened(check: Any) -> Any:
        def short(datagram: bytes, strict: bool) -> int | DropReason:
            vni: int | DropReason = check(datagram, strict)
            known = isinstance(vni, DropReason) or vni > 0xABCDEF - 1
            return vni if known else vni & 0xFFFF

        return short

    replace(core, "check_header", shortened)


def strips_the_inner_tag() -> None:
    """Deliver a tagged inner frame without its tag, instead of dropping it."""

    def lenient(right: Any) -> Any:
        def decide(
            self: Core, sender: str, sport: int, group: bool, data: bytes, *rest: Any
        ) -> Decision:
            plain = data[:8] + without_tags(data[8:])
            segment = self.segments.by_vni.get(int.from_bytes(data[4:7], "big"))
            used = data if segment is None or segment.carry_tags else plain
            decision: Decision = right(self, sender, sport, group, used, *rest)
            return decision

        return decide

    replace(Core, "datagram_from_underlay", lenient)


def delivers_twice() -> None:
    """Write each frame to the port twice if it was sent to a group."""

    def doubling(right: Any) -> Any:
        def decide(self: Core, sender: str, sport: int, to_group: bool, *rest: Any) -> Decision:
            effects, events = right(self, sender, sport, to_group, *rest)
            return [*effects, *effects] if to_group else effects, events

        return decide

    replace(Core, "datagram_from_underlay", doubling)


def wrong_cell() -> None:
    """Ignore an outer ECT(1) over an inner ECT(0), as RFC 3168 did."""
    del ecn._CHANGED[ecn.ECT_0, ecn.ECT_1]


def keeps_the_inner_checksum() -> None:
    """Mark an inner IPv4 packet and leave its header checksum unchanged."""

    def careless(mark: Any) -> Any:
        def marked(frame: bytes, congestion: int) -> bytes:
            at, version = ecn._ip(frame)
            right: bytes = mark(frame, congestion)
            if version == 6:
                return right
            return right[: at + 10] + frame[at + 10 : at + 12] + right[at + 12 :]

        return marked

    replace(ecn, "_marked", careless)


# -- tables


def ages_late() -> None:
    """Keep rows for three times the ageing time."""
    with_options(ageing_s=lambda seconds: seconds * _LONG_LIFE)


def ages_early() -> None:
    """Keep rows for a tenth of the ageing time."""
    with_options(ageing_s=lambda seconds: seconds * _SHORT_LIFE)


def renews_nothing() -> None:
    """Let rows age although their MACs keep sending."""

    def once(learn: Any) -> Any:
        def learn_once(self: Fdb, mac: bytes, *where: Any) -> Outcome:
            row = self.rows.get(mac)
            before = None if row is None else (row.seen_s, row.remote)
            outcome: Outcome = learn(self, mac, *where)
            if row is not None and before is not None and before[1] == row.remote:
                row.seen_s = before[0]
            return outcome

        return learn_once

    replace(Fdb, "learn", once)


def static_gives_way() -> None:
    """Let received frames move a static row."""

    def yielding(learn: Any) -> Any:
        def learn_all(self: Fdb, mac: bytes, *where: Any) -> Any:
            row = self.rows.get(mac)
            if row is not None and row.static and row.remote != where[0]:
                self.forget(mac)
            return learn(self, mac, *where)

        return learn_all

    replace(Fdb, "learn", yielding)


def static_gives_way_to_vms() -> None:
    """Let frames of local VMs, but not of remotes, move a static row."""

    def yielding(learn: Any) -> Any:
        def learn_local(self: Fdb, mac: bytes, remote: str | None, *where: Any) -> Any:
            row = self.rows.get(mac)
            if row is not None and row.static and remote is None:
                self.forget(mac)
            return learn(self, mac, remote, *where)

        return learn_local

    replace(Fdb, "learn", yielding)


def never_moves() -> None:
    """Keep a MAC where it was learned first."""

    def stubborn(learn: Any) -> Any:
        def stay(self: Fdb, mac: bytes, remote: str | None, port: Any, now: float) -> Any:
            row = self.rows.get(mac)
            if row is not None and not row.static:
                remote, port = row.remote, row.port
            return learn(self, mac, remote, port, now)

        return stay

    replace(Fdb, "learn", stubborn)


def learns_without_limit() -> None:
    """Ignore the limit of learned rows."""
    with_options(limit=lambda _: 1 << 30)


def one_table_for_all() -> None:
    """Use one table for all VNIs."""
    shared: dict[bytes, Any] = {}

    def sharing(make: Any) -> Any:
        def init(self: Fdb, *arguments: Any) -> None:
            make(self, *arguments)
            self.rows = shared

        return init

    replace(Fdb, "__init__", sharing)


def learns_the_untrusted() -> None:
    """Drop packets of an untrusted remote, but learn from them."""

    def learning(rejection: Any) -> Any:
        def reject(self: Core, sender: str, segment: Any, frame: bytes) -> Any:
            reason = rejection(self, sender, segment, frame)
            if reason is DropReason.UNTRUSTED_REMOTE and is_learnable(frame[6:12]):
                segment.fdb.learn(frame[6:12], sender, None, 0.0 if not segment.fdb.rows else max(
                    row.seen_s for row in segment.fdb.rows.values()))  # fmt: skip
            return reason

        return reject

    replace(Core, "_rejection", learning)


# -- groups and the rest


def never_leaves() -> None:
    """Do not leave the groups at the end."""
    replace(Underlay, "leave", lambda _: lambda self, group: None)


def joins_a_strange_group() -> None:
    """Join one further group with each of the VTEP's own."""

    def greedy(join: Any) -> Any:
        def join_two(self: Underlay, group: str) -> None:
            join(self, group)
            join(self, group[:-1] + str((int(group[-1]) + 1) % 10))

        return join_two

    replace(Underlay, "join", greedy)


def another_default_port() -> None:
    """Use port 8472 if the configuration has no port, as old kernels do."""
    replace(config, "VXLAN_PORT", lambda _: 8472)


def answers_for_the_wrong_vm() -> None:
    """Answer ARP requests with the requester's own MAC."""
    replace(arp_suppression, "reply", lambda right: lambda frame, mac: right(frame, frame[6:12]))


def reflects_to_the_vm() -> None:
    """Write a VM's broadcast back to the port it was received from."""

    def reflecting(right: Any) -> Any:
        def flood(self: Core, segment: Any, frame: bytes, now: float) -> Decision:
            effects, events = right(self, segment, frame, now)
            back = ToPort(segment.port, segment.vlan, frame, segment.vni, True)
            return [*effects, back], events

        return flood

    replace(Core, "_flood", reflecting)


FAULTS = public(dict(vars()))
