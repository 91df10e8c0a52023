"""The table of one VNI: which MAC is behind which remote VTEP or local port (RFC 7348 section 4.1).

Rules of this file:
- A row is created by learning or by the operator. Rows move, age and are removed only here.
- Only received frames refresh a row; a lookup never does.
- A static row never moves, never ages, and is never flushed.
- Above the limit nothing is learned and nothing is evicted: existing rows stay.
This file does not know what a frame is, who asks, or what is done with the answer.

Refreshing a row costs one assignment: the row only notes when it was seen. A timing wheel shared by
all tables holds each row once, in the slot of the second in which it could expire. When that second
comes, the row is removed if it was not refreshed, or else is put into the slot of its new due time.
Granularity: 1 s. The eBPF data path forwards by a copy of the tables (`RowMirror`), and refreshes
rows as well.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from enum import Enum, auto
from typing import Protocol

from vtep.effects import PortId

LOCAL, DYNAMIC, STATIC = "local", "learned", "static"
_STALE_ALLOWED = 1024  # stale entries


class Outcome(Enum):
    """The result of learning."""

    REFRESHED = auto()
    LEARNED = auto()
    MOVED = auto()
    CONFLICT = auto()  # a static row contradicts it
    FULL = auto()


class Row:
    """Where a MAC is: behind `remote` (a VTEP's address), or behind the local `port`."""

    __slots__ = ("due_s", "port", "remote", "seen_s", "static")

    def __init__(
        self, remote: str | None, port: PortId | None, seen_s: float, static: bool
    ) -> None:
        self.remote = remote
        self.port = port
        self.seen_s = seen_s
        self.static = static
        self.due_s = 0  # the wheel's slot that holds this row

    @property
    def kind(self) -> str:
        """`local`, `learned` or `static`."""
        if self.static:
            return STATIC
        return LOCAL if self.remote is None else DYNAMIC


class RowMirror(Protocol):
    """A copy of all tables, by which the eBPF data path forwards; it follows every change."""

    def put(self, fdb: Fdb, mac: bytes, row: Row) -> None:
        """A row was added, changed or refreshed."""

    def remove(self, fdb: Fdb, mac: bytes) -> None:
        """A row was removed."""

    def seen_s(self, fdb: Fdb, mac: bytes, row: Row) -> float:
        """When the MAC was seen last, by the core or by the eBPF data path."""


class Slot:
    """The rows that are due in one second."""

    __slots__ = ("due_s", "macs")

    def __init__(self, due_s: int) -> None:
        self.due_s = due_s
        self.macs: dict[Fdb, list[bytes]] = {}

    def entries(self) -> int:
        """The number of MACs in the slot, including those of removed rows."""
        return sum(map(len, self.macs.values()))

    def rows_of(self, fdb: Fdb) -> Iterator[tuple[bytes, Row]]:
        """The rows of a table that are due here."""
        for mac in self.macs[fdb]:
            row = fdb.rows.get(mac)
            if row is not None and not row.static and row.due_s == self.due_s:
                yield mac, row


class Wheel:
    """The timing wheel: which rows of all tables of a VTEP are due when, one slot per second.

    The MAC of a row that is removed early stays in its slot. The `due_s` of a row says whether a
    MAC in a slot still refers to it. When most entries are stale, all slots are cleaned up.
    """

    def __init__(self, ageing_s: float, mirror: RowMirror | None = None) -> None:
        self.ageing_s = ageing_s
        self.mirror = mirror
        self._slots: dict[int, Slot] = {}
        self._heap: list[int] = []
        self._rows = 0
        self._entries = 0  # including stale ones

    def enter(self, fdb: Fdb, mac: bytes, row: Row) -> None:
        """A row was added."""
        self._rows += 1
        self._add(fdb, mac, row, row.seen_s)

    def leave(self) -> None:
        """A row was removed; called after its table has removed it."""
        self._rows -= 1
        if self._entries > 2 * self._rows + _STALE_ALLOWED:
            self._clean_up()

    def _add(self, fdb: Fdb, mac: bytes, row: Row, seen_s: float) -> None:
        """Put a row that was seen at a time into the slot of its due second."""
        due = math.ceil(seen_s + self.ageing_s)
        slot = self._slots.get(due)
        if slot is None:
            slot = self._slots[due] = Slot(due)
            heapq.heappush(self._heap, due)
        slot.macs.setdefault(fdb, []).append(mac)
        row.due_s = slot.due_s
        self._entries += 1

    def _clean_up(self) -> None:
        for slot in self._slots.values():
            slot.macs = {fdb: macs for fdb in slot.macs if (macs := list(dict(slot.rows_of(fdb))))}
        self._entries = sum(slot.entries() for slot in self._slots.values())

    def __len__(self) -> int:
        """The number of rows in it."""
        return self._rows

    def next_due_s(self) -> float | None:
        """When the next slot is due; None if there are no rows."""
        return float(self._heap[0]) if self._heap else None

    def expire(self, now: float) -> Iterator[tuple[Fdb, bytes, Row]]:
        """Remove the rows that were not seen for the ageing time, and yield them."""
        while self._heap and self._heap[0] <= now:
            slot = self._slots.pop(heapq.heappop(self._heap))
            self._entries -= slot.entries()
            for fdb in slot.macs:
                for mac, row in slot.rows_of(fdb):
                    seen_s = fdb.seen_s(mac, row)
                    if seen_s + self.ageing_s > now:
                        self._add(fdb, mac, row, seen_s)
                    else:
                        fdb.forget(mac)
                        yield fdb, mac, row


class Fdb:
    """The table of one VNI."""

    __slots__ = ("_dynamic", "limit", "rows", "static_remotes", "vni", "wheel")

    def __init__(self, vni: int, wheel: Wheel, limit: int) -> None:
        """limit: the number of rows that may be learned; static rows do not count."""
        self.vni = vni
        self.wheel = wheel
        self.limit = limit
        self.rows: dict[bytes, Row] = {}
        self.static_remotes: dict[bytes, tuple[str, ...]] = {}  # of static rows
        self._dynamic = 0

    def lookup(self, mac: bytes) -> Row | None:
        """The row of a MAC; this does not refresh it."""
        return self.rows.get(mac)

    def learn(self, mac: bytes, remote: str | None, port: PortId | None, now: float) -> Outcome:
        """Learn that a frame from `mac` came from a remote, or from a local port."""
        row = self.rows.get(mac)
        if row is None:
            return self._enter(mac, remote, port, now)
        if row.remote == remote and row.port == port:
            row.seen_s = now
            self._mirrored(mac, row)
            return Outcome.REFRESHED
        if row.static:
            agrees = remote in self.static_remotes[mac]
            return Outcome.REFRESHED if agrees else Outcome.CONFLICT
        row.remote, row.port, row.seen_s = remote, port, now
        self._mirrored(mac, row)
        return Outcome.MOVED

    def _mirrored(self, mac: bytes, row: Row) -> None:
        if self.wheel.mirror is not None:
            self.wheel.mirror.put(self, mac, row)

    def seen_s(self, mac: bytes, row: Row) -> float:
        """When a frame from a MAC was received last."""
        return row.seen_s if self.wheel.mirror is None else self.wheel.mirror.seen_s(self, mac, row)

    def _enter(self, mac: bytes, remote: str | None, port: PortId | None, now: float) -> Outcome:
        if self._dynamic >= self.limit:
            return Outcome.FULL
        row = self.rows[mac] = Row(remote, port, now, static=False)
        self._dynamic += 1
        self.wheel.enter(self, mac, row)
        self._mirrored(mac, row)
        return Outcome.LEARNED

    def set_static(self, mac: bytes, remote: str, now: float, add: bool = False) -> None:
        """Add a static row; it stays until the operator removes it.

        add: keep the remotes of the MAC's present static row.
        """
        before = self.static_remotes.get(mac, ()) if add else ()
        self.forget(mac)
        self.static_remotes[mac] = (*before, remote)
        row = self.rows[mac] = Row(self.static_remotes[mac][0], None, now, static=True)
        self._mirrored(mac, row)

    def remove_static(self, mac: bytes) -> bool:
        """Remove a static row; False if there is none."""
        row = self.rows.get(mac)
        if row is None or not row.static:
            return False
        self.forget(mac)
        return True

    def forget(self, mac: bytes) -> None:
        """Remove a row, if there is one."""
        row = self.rows.pop(mac, None)
        self.static_remotes.pop(mac, None)
        if row is None:
            return
        if not row.static:
            self._dynamic -= 1
            self.wheel.leave()
        if self.wheel.mirror is not None:
            self.wheel.mirror.remove(self, mac)

    def flush(self, mac: bytes | None) -> list[tuple[bytes, Row]]:
        """Remove all learned rows, or that of one MAC; returns them."""
        chosen = list(self.rows) if mac is None else [mac]
        gone = [(each, row) for each in chosen if (row := self.rows.get(each)) and not row.static]
        for each, _ in gone:
            self.forget(each)
        return gone

    def clear(self) -> None:
        """Remove all rows, static ones too."""
        for mac in list(self.rows):
            self.forget(mac)
