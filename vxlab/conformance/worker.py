"""Judges rows inside the sandbox, with one VTEP for each configuration.

`session.py` asks over a socket: each request is a line with a row's id, each answer a line of JSON.
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
from vxlab.conformance.candidate import Candidate
from vxlab.conformance.catalogue import Row
from vxlab.conformance.process import DidNotStart
from vxlab.conformance.setups import BASE, Setup
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import (
    Deviation,
    Finding,
    NotObservable,
    Verdict,
    conforms,
    unobservable,
)
from vxlab.errors import LabError

_CONTROL_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.02
END = "end\n"  # instead of a row's id: the sandbox's first process keeps the socket open as well


class Worker:
    """Judges rows of one VTEP, and keeps it running while rows need the same configuration."""

    def __init__(self, candidate: Candidate, directory: Path, capture: str | None) -> None:
        self._candidate = candidate
        self._directory = directory
        self._recorder = Recorder(capture) if capture else None
        self._bed: TestBed | None = None
        self._failure: LabError | None = None  # why not even the plainest configuration works
        self._refused: dict[str, Finding] = {}  # setup -> why the VTEP does not run with it
        self._has_control = True  # until the VTEP turns out to have no control socket

    def judge(self, row: Row) -> Finding:
        """The finding of one row."""
        refusal = self._refused.get(row.setup.name) or self._prepare(row.setup)
        if refusal is not None:
            if row.option:
                return replace(refusal, verdict=Verdict.DEVIATES)
            return unobservable(refusal.text)
        assert self._bed is not None
        try:
            return row.judge(self._bed) or conforms()
        except Deviation as deviation:
            return deviation.finding
        except NotObservable as reason:
            return unobservable(str(reason))

    def _prepare(self, setup: Setup) -> Finding | None:
        """Have a VTEP with this configuration; a finding if it does not run with it.

        LabError if that is the plainest of all configurations.
        """
        if self._failure is not None:
            raise self._failure
        bed = self._bed
        if bed is not None and bed.setup is setup and bed.usable:
            return None
        self.end_bed()
        try:
            self._bed = TestBed(setup, self._candidate, self._directory, self._watch)
        except LabError as error:
            if setup is BASE:
                self._failure = self._with_hint(error)
                raise self._failure from None
            self._refused[setup.name] = _refusal(error)
        else:
            self._note_unsupported(self._bed)
        return self._refused.get(setup.name)

    def _with_hint(self, error: LabError) -> LabError:
        """The error, and the options that may be missing on the command line."""
        if isinstance(error, DidNotStart) and self._candidate.hint:
            text = f"{error}; {self._candidate.hint}"
            return DidNotStart(text, error.packets, error.output)
        return error

    def _note_unsupported(self, bed: TestBed) -> None:
        """A setup is not judged if it needs an option that the VTEP says it does not support."""
        unsupported = self._ready(bed).get("unsupported") or []
        if lacking := sorted(bed.setup.options & set(unsupported)):
            text = f"the VTEP does not support the option {', '.join(lacking)}"
            self._refused[bed.setup.name] = unobservable(text)

    def _ready(self, bed: TestBed) -> dict[str, Any]:
        """The VTEP's answer to `ready`, empty if it has no control socket.

        It may forward before it serves the socket, so the first time this waits a little.
        """
        deadline = time.monotonic() + (_CONTROL_WITHIN_S if self._has_control else 0.0)
        while True:
            try:
                return dict(bed.control.ask("ready"))
            except NotObservable:
                if time.monotonic() > deadline:
                    self._has_control = False
                    return {}
            bed.traffic.listen(_LOOK_EVERY_S)

    def _watch(self, captured: CapturedPacket) -> None:
        if self._recorder is not None:
            self._recorder.write(captured)

    def end_bed(self) -> None:
        """End the VTEP, if one runs."""
        if self._bed is not None:
            self._bed.close()
            self._bed = None

    def close(self) -> None:
        """End the VTEP and finish the capture."""
        self.end_bed()
        if self._recorder is not None:
            self._recorder.close()


def _refusal(error: LabError) -> Finding:
    """Why there is no test bed: the VTEP does not start, or this machine does not allow it."""
    if isinstance(error, DidNotStart):
        text = f"with this configuration: {error}"
        return Finding(Verdict.UNOBSERVABLE, text, error.packets)
    return unobservable(f"this machine: {error}")


def serve(peer: socket.socket, worker: Worker, row_of: Callable[[str], Row]) -> int:
    """Judge the rows whose ids come in, until `END` comes."""
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
        return {"error": str(error), "output": getattr(error, "output", "")}
    return {**finding.as_json(), "seconds": round(time.monotonic() - began, 3)}
