"""The same random traffic through two VTEPs that differ only in their data path.

Outcomes are compared after each batch, tables and counters after every ten batches.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.net.traffic import Traffic
from vxlab.conformance.candidate import Candidate
from vxlab.conformance.observation import Observation
from vxlab.conformance.setups import Setup
from vxlab.conformance.testbed import TestBed
from vxlab.system import sandbox

BATCH = 50
_TABLES_EVERY = 10  # batches
_SHOWN = 400  # characters of a difference
_ELSEWHERE = ("underlay_overrun", "udp_checksum")  # the data paths differ in who verifies checksums


def compare(setup: Setup, seed: int, frames: int) -> str:
    """Run the comparison in a sandbox; the result begins with "equal" if there is no difference."""
    with tempfile.TemporaryDirectory(prefix="vxlab-differential-") as name:
        log, result = Path(name) / "log", Path(name) / "result"
        log.touch()
        keeper, _ = sandbox.start(
            lambda: _main(setup, seed, frames, Path(name)), Path(name), False, log
        )
        os.waitpid(keeper, 0)
        return result.read_text() if result.exists() else log.read_text()


def _main(setup: Setup, seed: int, frames: int, directory: Path) -> int:
    with _bed(setup, "ebpf", directory) as kernel, _bed(setup, "python", directory) as python:
        difference = _first_difference(Traffic(seed, kernel), kernel, python, frames)
        fast = sum(row["fast_path"] for row in kernel.control.ask("stats"))
        slow = sum(row["fast_path"] for row in python.control.ask("stats"))
    equal = f"equal: {frames} frames, seed {seed}, fast {fast}, in Python {slow}"
    (directory / "result").write_text(difference or equal)
    return 0


@contextmanager
def _bed(setup: Setup, data_path: str, directory: Path) -> Iterator[TestBed]:
    command = (sys.executable, "-m", "vtep", "--datapath", data_path)
    bed = TestBed(setup, Candidate(data_path, command), directory, lambda captured: None)
    try:
        yield bed
    finally:
        bed.close()


def _first_difference(
    traffic: Traffic, kernel: TestBed, python: TestBed, frames: int
) -> str | None:
    for number in range(frames // BATCH):
        batch = traffic.batch(BATCH)
        ways = [
            _outcome(bed.traffic.exchange(batch.port, batch.underlay)) for bed in (kernel, python)
        ]
        if ways[0] != ways[1]:
            side = "port" if batch.port else "underlay"
            return f"batch {number} ({side}): {_difference(ways[0], ways[1])}"
        if number % _TABLES_EVERY == 0:
            if traffic.random.random() < 0.2:
                for bed in (kernel, python):
                    bed.control.ask("flush")
            states = [Counter(_state(bed)) for bed in (kernel, python)]
            if states[0] != states[1]:
                return f"after batch {number}: {_difference(*states)}"
    return None


def _outcome(seen: Observation) -> Counter[Any]:
    """All output at both ports, sorted: the order between flows may differ."""
    out: Counter[Any] = Counter(("port", frame.hex()) for frame in seen.port)
    for packet in seen.tunnel:
        headers = packet.destination_mac, packet.source, packet.destination, packet.tos, packet.ttl
        out["underlay", headers, packet.udp.hex()] += 1
    return out


def _state(bed: TestBed) -> Iterator[Any]:
    for row in bed.control.ask("fdb"):
        yield tuple((key, value) for key, value in row.items() if key != "age_s")
    for row in bed.control.ask("stats"):
        yield repr(_comparable(row, fenced=row["vni"] == bed.segments[0].vni))


def _comparable(row: dict[str, Any], fenced: bool) -> dict[str, Any]:
    """Counters that must be equal: the bench may send a fence again, so fences are left out."""
    drops = {name: times for name, times in row["drops"].items() if name not in _ELSEWHERE}
    ways = {
        "encapsulated": {**row["encapsulated"], **({"flood": None} if fenced else {})},
        "decapsulated": {**row["decapsulated"], **({"unicast": None} if fenced else {})},
    }
    return {**row, **ways, "drops": drops, "fast_path": None}


def _difference(kernel: Counter[Any], python: Counter[Any]) -> str:
    ways = (kernel - python, python - kernel)
    first = [[str(each)[:_SHOWN] for each in list(way)[:3]] for way in ways]
    return f"only in the kernel: {first[0]}; in Python: {first[1]}"
