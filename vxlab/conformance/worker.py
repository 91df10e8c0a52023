"""The judge's work inside the sandbox: row after row, one VTEP for each configuration.

Asked over a socket by `session.py`, one JSON line a request, one a finding.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vxlab.capture.packets import CapturedPacket
from vxlab.capture.pcapng import Recorder
from vxlab.conformance.bench import Bench
from vxlab.conformance.candidate import Candidate
from vxlab.conformance.catalogue import Row
from vxlab.conformance.process import DidNotStart
from vxlab.conformance.setups import BASE, Setup
from vxlab.conformance.verdict import (
    Deviation,
    Finding,
    Hidden,
    Verdict,
    conforms,
    unobservable,
)
from vxlab.errors import LabError

_CONTROL_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.02
END = "end\n"  # asked instead of a row: the keeper of the sandbox holds the socket open as well


class Worker:
    """Judges rows of one VTEP; keeps it running as long as rows want the same configuration."""

    def __init__(self, candidate: Candidate, directory: Path, capture: str | None) -> None:
        self._candidate = candidate
        self._directory = directory
        self._recorder = Recorder(capture) if capture else None
        self._bench: Bench | None = None
        self._failure: LabError | None = None
        self._refused: dict[str, Finding] = {}  # setup -> why it cannot be had
        self._has_control = True  # until it is found to have no control socket

    def judge(self, row: Row) -> Finding:
        """The finding of one row."""
        refusal = self._refused.get(row.setup.name) or self._prepare(row.setup)
        if refusal is not None:
            if row.option:
                return replace(refusal, verdict=Verdict.DEVIATES)
            return unobservable(refusal.text)
        assert self._bench is not None
        try:
            return row.judge(self._bench) or conforms()
        except Deviation as deviation:
            return deviation.finding
        except Hidden as hidden:
            return unobservable(str(hidden))

    def _prepare(self, setup: Setup) -> Finding | None:
        """Have a VTEP with this configuration; why not, if it will not have it.

        LabError if it is the plainest of all configurations.
        """
        if self._failure is not None:
            raise self._failure
        bench = self._bench
        if bench is not None and bench.setup is setup and bench.usable:
            return None
        self.end_bench()
        try:
            self._bench = Bench(setup, self._candidate, self._directory, self._watch)
        except LabError as error:
            if setup is BASE:
                self._failure = error
                raise
            self._refused[setup.name] = _refusal(error)
        else:
            self._note_unsupported(self._bench)
        return self._refused.get(setup.name)

    def _note_unsupported(self, bench: Bench) -> None:
        """What the VTEP itself says it cannot do is not judged."""
        unsupported = self._ready(bench).get("unsupported") or []
        if lacking := sorted(bench.setup.options & set(unsupported)):
            text = f"the VTEP has no option {', '.join(lacking)}"
            self._refused[bench.setup.name] = unobservable(text)

    def _ready(self, bench: Bench) -> dict[str, Any]:
        """What the VTEP says of itself, nothing if it has no control socket.

        It may forward before it can be asked; whether it ever can, shows with the first.
        """
        deadline = time.monotonic() + (_CONTROL_WITHIN_S if self._has_control else 0.0)
        while True:
            try:
                return dict(bench.ask("ready"))
            except Hidden:
                if time.monotonic() > deadline:
                    self._has_control = False
                    return {}
            bench.listen(_LOOK_EVERY_S)

    def _watch(self, captured: CapturedPacket) -> None:
        if self._recorder is not None:
            self._recorder.write(captured)

    def end_bench(self) -> None:
        """End the VTEP that runs, if one does."""
        if self._bench is not None:
            self._bench.close()
            self._bench = None

    def close(self) -> None:
        """End all."""
        self.end_bench()
        if self._recorder is not None:
            self._recorder.close()


def _refusal(error: LabError) -> Finding:
    """Why there is no bench: the VTEP will not, or this machine cannot."""
    if isinstance(error, DidNotStart):
        text = f"with this configuration: {error}"
        return Finding(Verdict.UNOBSERVABLE, text, error.packets)
    return unobservable(f"this machine: {error}")


def serve(peer: socket.socket, worker: Worker, row_of: Callable[[str], Row]) -> int:
    """Judge the rows whose ids come in, until told to end."""
    with peer, peer.makefile("rw", encoding="utf-8") as lines:
        for line in iter(lines.readline, END):
            lines.write(json.dumps(_answer(worker, row_of(line.strip()))) + "\n")
            lines.flush()
    worker.close()
    return 0


def _answer(worker: Worker, row: Row) -> dict[str, Any]:
    began = time.monotonic()
    try:
        finding = worker.judge(row)
    except LabError as error:
        return {"error": str(error)}
    return {**finding.as_json(), "seconds": round(time.monotonic() - began, 3)}
