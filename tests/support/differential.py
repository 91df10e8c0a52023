"""The same random traffic through two VTEPs that differ in their data path alone.

Outcomes are compared batch by batch, tables and counters every few batches.
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

from tests.support.traffic import Traffic
from vxlab.conformance.bench import Bench, Seen
from vxlab.conformance.candidate import Candidate
from vxlab.conformance.setups import Setup
from vxlab.system import sandbox

BATCH = 50
_TABLES_EVERY = 10  # batches
_TOLD = 400  # characters of what differs
_ELSEWHERE = ("underlay_overrun", "udp_checksum")  # who verifies a checksum differs by data path


def compare(setup: Setup, seed: int, frames: int) -> str:
    """Run the comparison in a sandbox; what it said, which begins with "equal" if all was."""
    with tempfile.TemporaryDirectory(prefix="vxlab-differential-") as name:
        log, said = Path(name) / "log", Path(name) / "said"
        log.touch()
        keeper, _ = sandbox.start(
            lambda: _main(setup, seed, frames, Path(name)), Path(name), False, log
        )
        os.waitpid(keeper, 0)
        return said.read_text() if said.exists() else log.read_text()


def _main(setup: Setup, seed: int, frames: int, directory: Path) -> int:
    with _bench(setup, "ebpf", directory) as kernel, _bench(setup, "python", directory) as python:
        difference = _first_difference(Traffic(seed, kernel), kernel, python, frames)
        fast = sum(row["fast_path"] for row in kernel.ask("stats"))
        slow = sum(row["fast_path"] for row in python.ask("stats"))
    equal = f"equal: {frames} frames, seed {seed}, fast {fast}, in Python {slow}"
    (directory / "said").write_text(difference or equal)
    return 0


@contextmanager
def _bench(setup: Setup, datapath: str, directory: Path) -> Iterator[Bench]:
    command = (sys.executable, "-m", "vtep", "--datapath", datapath)
    bench = Bench(setup, Candidate(datapath, command), directory, lambda captured: None)
    try:
        yield bench
    finally:
        bench.close()


def _first_difference(traffic: Traffic, kernel: Bench, python: Bench, frames: int) -> str | None:
    for number in range(frames // BATCH):
        batch = traffic.batch(BATCH)
        ways = [_outcome(bench.exchange(**batch)) for bench in (kernel, python)]
        if ways[0] != ways[1]:
            return f"batch {number} ({', '.join(batch)}): {_told(ways[0], ways[1])}"
        if number % _TABLES_EVERY == 0:
            if traffic.random.random() < 0.2:
                for bench in (kernel, python):
                    bench.ask("flush")
            states = [Counter(_state(bench)) for bench in (kernel, python)]
            if states[0] != states[1]:
                return f"after batch {number}: {_told(*states)}"
    return None


def _outcome(seen: Seen) -> Counter[Any]:
    """What came out at both sides, whatever the order: flows may overtake each other."""
    out: Counter[Any] = Counter(("port", frame.hex()) for frame in seen.port)
    for packet in seen.tunnel:
        headers = packet.destination_mac, packet.source, packet.destination, packet.tos, packet.ttl
        out["underlay", headers, packet.udp.hex()] += 1
    return out


def _state(bench: Bench) -> Iterator[Any]:
    for row in bench.ask("fdb"):
        yield tuple((key, value) for key, value in row.items() if key != "age_s")
    for row in bench.ask("stats"):
        yield repr(_comparable(row, fenced=row["vni"] == bench.segments[0].vni))


def _comparable(row: dict[str, Any], fenced: bool) -> dict[str, Any]:
    """Counters without what differs by right: the bench sends a fence again that had to wait."""
    drops = {name: times for name, times in row["drops"].items() if name not in _ELSEWHERE}
    ways = {
        "encapsulated": {**row["encapsulated"], **({"flood": None} if fenced else {})},
        "decapsulated": {**row["decapsulated"], **({"unicast": None} if fenced else {})},
    }
    return {**row, **ways, "drops": drops, "fast_path": None}


def _told(kernel: Counter[Any], python: Counter[Any]) -> str:
    ways = (kernel - python, python - kernel)
    first = [[str(each)[:_TOLD] for each in list(way)[:3]] for way in ways]
    return f"only in the kernel: {first[0]}; in Python: {first[1]}"
