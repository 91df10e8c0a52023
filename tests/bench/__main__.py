"""`make bench`: one run, all ways side by side and in turn, medians and ratios, into docs/results/.

make bench                            everything, some 20 minutes
make bench ARGS="--only rtt"          one figure; the others stay as they were
make bench ARGS="--quick"             each once: does it all still run?
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import first, labs, load, report, tables, wire
from tests.bench.apart import in_sandbox
from tests.bench.bed import WAYS, Bed
from tests.bench.summary import median
from vxlab.errors import LabError

OVER_A_BED: dict[str, Callable[[Bed], wire.Figures]] = {
    "tcp": wire.tcp,
    "packets": load.flat_out,
    "lossless": load.without_loss,
    "rtt": wire.round_trips,
    "first": wire.first_packets,
}
SLICES = {"packets": 4, "rtt": 8}  # of a repeat: short ones, so that all ways share the noise
BY_ITSELF = ("tables", "flood", "labs", "lab-tcp")
Found = dict[str, Any]


def main() -> int:
    """Measure what was asked for, and write it down; 1 if something could not be measured."""
    given = _arguments()
    chosen = given.only or [*OVER_A_BED, *BY_ITSELF]
    repeats = 1 if given.quick else given.repeats
    found = report.read()
    failed = _measure(chosen, repeats, given.quick, found)
    print(json.dumps(found, indent=1) if given.json else report.goals_told(found))
    for line in failed:
        print(f"bench: {line}", file=sys.stderr)
    return int(bool(failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    figures = (*OVER_A_BED, *BY_ITSELF)
    parser.add_argument("--only", action="append", choices=figures, help="this figure alone")
    parser.add_argument("--repeats", type=int, default=5, help="of each, for the median [5]")
    parser.add_argument("--quick", action="store_true", help="each once, and small labs only")
    parser.add_argument("--json", action="store_true", help="all figures on stdout, as JSON")
    return parser.parse_args()


def _measure(chosen: list[str], repeats: int, quick: bool, found: Found) -> list[str]:
    """Measure, writing down each part as soon as it is done; what could not be measured."""
    failed: list[str] = []
    over_beds = [name for name in chosen if name in OVER_A_BED]
    if over_beds:
        fresh, lacking = _on_beds(over_beds, repeats)
        for way, figures in fresh.items():
            found.setdefault("ways", {}).setdefault(way, {}).update(figures)
        failed += lacking
        report.write(found)
    for name in BY_ITSELF:
        if name in chosen:
            found[name.replace("-", "_")] = _by_itself(name, repeats, quick)
            report.write(found)
    return failed


def _by_itself(name: str, repeats: int, quick: bool) -> Found:
    if name == "tables":
        return {str(size): tables.rows(size) for size in tables.SIZES[: -1 if quick else None]}
    if name == "flood":
        found: Found = in_sandbox(first.first_packets)
        return found
    if name == "labs":
        sizes = labs.SIZES[: 1 if quick else None]
        return {str(n): _median_of(partial(labs.starts, n), repeats) for n in sizes}
    ways = [_median_of(partial(labs.lab_tcp, way), repeats) for way in ("ebpf", "python")]
    return {key: value for way in ways for key, value in way.items()}


def _median_of(measure: Callable[[], wire.Figures], repeats: int) -> wire.Figures:
    return _medians([measure() for _ in range(repeats)])


def _medians(runs: list[wire.Figures]) -> wire.Figures:
    return {key: median([run[key] for run in runs]) for key in runs[0]}


def _on_beds(names: list[str], repeats: int) -> tuple[dict[str, wire.Figures], list[str]]:
    """Medians by way, and what could not be measured; in a sandbox that holds all beds."""
    fresh, lacking = in_sandbox(lambda directory: _alternate(names, repeats, directory))
    return fresh, lacking


def _alternate(
    names: list[str], repeats: int, directory: Path
) -> tuple[dict[str, wire.Figures], list[str]]:
    """Each way in turn, the order reversed every other time."""
    beds, lacking = _beds(directory)
    runs: dict[tuple[str, str], list[wire.Figures]] = {}
    for repeat in range(repeats):
        for name in names:
            print(f"bench: {repeat + 1} of {repeats}: {name}", file=sys.stderr)
            for turn in range(SLICES.get(name, 1)):
                for bed in beds if (repeat + turn) % 2 == 0 else beds[::-1]:
                    try:
                        runs.setdefault((bed.way.name, name), []).append(OVER_A_BED[name](bed))
                    except (LabError, AssertionError) as error:
                        lacking.append(f"{name}: {error}")
    fresh: dict[str, wire.Figures] = {}
    for (way, _), figures in runs.items():
        fresh.setdefault(way, {}).update(_medians(figures))
    return fresh, lacking


def _beds(directory: Path) -> tuple[list[Bed], list[str]]:
    beds, lacking = [], []
    for way in WAYS:
        try:
            beds.append(Bed(way, directory))
        except (LabError, AssertionError) as error:
            lacking.append(str(error))
    return beds, lacking


if __name__ == "__main__":
    sys.exit(main())
