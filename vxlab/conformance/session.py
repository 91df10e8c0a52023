"""Judges a VTEP row by row: starts the sandbox with the test bed, and asks it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vxlab.conformance.candidate import Candidate
from vxlab.conformance.catalogue import Row, rows_of
from vxlab.conformance.verdict import Finding
from vxlab.conformance.wiring import TOOLS
from vxlab.conformance.worker import END, Worker, serve
from vxlab.errors import LabError
from vxlab.system import sandbox
from vxlab.system.commands import require, use_system_directories
from vxlab.system.programs import last_line

_SHOWN_LINES = 20  # of the output of a VTEP that did not start


@dataclass(frozen=True)
class Judged:
    """A row, its finding, and how long it took."""

    row: Row
    finding: Finding
    seconds: float


class Session:
    """One sandbox with a test bed; it judges rows in the order of the calls."""

    def __init__(self, peer: socket.socket, log: Path) -> None:
        self._peer = peer
        self._log = log
        self._lines = peer.makefile("rw", encoding="utf-8")

    def judge(self, row: Row) -> Judged:
        """Judge one row; LabError says why the VTEP or the test bed did not start."""
        try:
            self._lines.write(f"{row.id}\n")
            self._lines.flush()
            line = self._lines.readline()
        except OSError:
            line = ""
        if not line:
            raise LabError(f"the test bed ended while it judged {row.id}: {last_line(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            _show(answer["output"])
            raise LabError(answer["error"])
        return Judged(row, Finding.from_json(answer), answer["seconds"])

    def close(self) -> None:
        """End the sandbox."""
        with contextlib.suppress(OSError):
            self._lines.write(END)
            self._lines.flush()
        for opened in (self._lines, self._peer):
            opened.close()


def _show(output: str) -> None:
    """Print what a VTEP that did not start has printed, unless the error quotes all of it."""
    lines = output.strip().splitlines()
    if len(lines) > 1:
        print("vxlab: the VTEP printed:", *lines[-_SHOWN_LINES:], sep="\n  ", file=sys.stderr)


@contextmanager
def session(candidate: Candidate, capture: str | None = None) -> Iterator[Session]:
    """A test bed in a sandbox of its own; capture: a pcapng file for all its packets.

    LabError if a command is missing, or the machine allows no sandbox.
    """
    use_system_directories()
    require(TOOLS)
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory(prefix="vxlab-conformance-") as name:
        directory = Path(name)
        log = directory / "testbed.log"
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
    """Judge rows and yield each result at once; rows of one configuration follow each other."""
    names: list[str] = list(dict.fromkeys(row.setup.name for row in rows))
    with session(candidate, capture) as opened:
        for row in sorted(rows, key=lambda row: names.index(row.setup.name)):
            yield opened.judge(row)
