"""A VTEP being judged: the sandbox with the bench in it, asked row by row from outside."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vxlab.conformance.candidate import Candidate
from vxlab.conformance.catalogue import Row, rows_of
from vxlab.conformance.verdict import Finding
from vxlab.conformance.worker import END, Worker, serve
from vxlab.errors import LabError
from vxlab.system import sandbox


@dataclass(frozen=True)
class Judged:
    """A row's finding, and how long it took."""

    row: Row
    finding: Finding
    seconds: float


class Session:
    """One sandbox with a bench; rows are judged in the order they are asked for."""

    def __init__(self, peer: socket.socket, log: Path) -> None:
        self._peer = peer
        self._log = log
        self._lines = peer.makefile("rw", encoding="utf-8")

    def judge(self, row: Row) -> Judged:
        """Judge one row; LabError says why the VTEP or the bench did not come up."""
        try:
            self._lines.write(f"{row.id}\n")
            self._lines.flush()
            line = self._lines.readline()
        except OSError:
            line = ""
        if not line:
            raise LabError(f"the bench ended while it judged {row.id}: {_last_line(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LabError(answer["error"])
        return Judged(row, Finding.from_json(answer), answer["seconds"])

    def close(self) -> None:
        """Tell the sandbox to end."""
        with contextlib.suppress(OSError):
            self._lines.write(END)
            self._lines.flush()
        for opened in (self._lines, self._peer):
            opened.close()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


@contextmanager
def session(candidate: Candidate, capture: str | None = None) -> Iterator[Session]:
    """A bench in a sandbox of its own; capture: a pcapng of all its packets.

    LabError if there can be no sandbox.
    """
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory(prefix="vxlab-conformance-") as name:
        directory = Path(name)
        log = directory / "bench.log"
        log.touch()

        def main() -> int:
            ours.close()
            worker = Worker(candidate, directory, capture)
            rows = {row.id: row for row in rows_of()}
            return serve(theirs, worker, rows.__getitem__)

        keeper, _ = sandbox.start(main, directory, detached=False, log=log)
        theirs.close()
        opened = Session(ours, log)
        try:
            yield opened
        finally:
            opened.close()
            os.waitpid(keeper, 0)


def judge_all(
    candidate: Candidate, rows: list[Row], capture: str | None = None
) -> Iterator[Judged]:
    """Judge rows, each as soon as it is done; those of one configuration together."""
    names: list[str] = list(dict.fromkeys(row.setup.name for row in rows))
    with session(candidate, capture) as opened:
        for row in sorted(rows, key=lambda row: names.index(row.setup.name)):
            yield opened.judge(row)
