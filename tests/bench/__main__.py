"""`make bench`: measure all ways in turn and write medians and ratios to docs/results/.

make bench                            everything; takes about 20 minutes
make bench ARGS="--only rtt"          one figure; the others are kept from the last run
make bench ARGS="--quick"             each once, to check that all measurements still run
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
from tests.bench.bed import WAYS, BenchBed
from tests.bench.summary import median
from vxlab.errors import LabError

ON_A_BED: dict[str, Callable[[BenchBed], wire.Figures]] = {
    "tcp": wire.tcp,
    "packets": load.full_load,
    "lossless": load.without_loss,
    "rtt": wire.round_trips,
    "first": wire.first_packets,
}
# Measurements within one repeat: many short ones, so that noise affects all ways equally.
SLICES = {"packets": 4, "rtt": 8}
SEPARATE = ("tables", "flood", "labs", "lab-tcp")
Found = dict[str, Any]


def main() -> int:
    """Measure the requested figures and write the results; 1 if a measurement failed."""
    options = _arguments()
    chosen = options.only or [*ON_A_BED, *SEPARATE]
    repeats = 1 if options.quick else options.repeats
    found = report.read()
    failed = _measure(chosen, repeats, options.quick, found)
    print(json.dumps(found, indent=1) if options.json else report.goals_text(found))
    for line in failed:
        print(f"bench: {line}", file=sys.stderr)
    return int(bool(failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    figures = (*ON_A_BED, *SEPARATE)
    parser.add_argument("--only", action="append", choices=figures, help="measure only this figure")
    parser.add_argument("--repeats", type=int, default=5, help="measurements for each median [5]")
    parser.add_argument("--quick", action="store_true", help="each once, with small labs")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    return parser.parse_args()


def _measure(chosen: list[str], repeats: int, quick: bool, found: Found) -> list[str]:
    """Measure, and write each result as soon as it exists; returns a line for each failure."""
    failed: list[str] = []
    on_beds = [name for name in chosen if name in ON_A_BED]
    if on_beds:
        fresh, errors = _on_beds(on_beds, repeats)
        for way, figures in fresh.items():
            found.setdefault("ways", {}).setdefault(way, {}).update(figures)
        failed += errors
        report.write(found)
    for name in SEPARATE:
        if name in chosen:
            found[name.replace("-", "_")] = _separate(name, repeats, quick)
            report.write(found)
    return failed


def _separate(name: str, repeats: int, quick: bool) -> Found:
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
    """Medians by way, and a line for each failure. All beds are in one sandbox."""
    fresh, failed = in_sandbox(lambda directory: _alternate(names, repeats, directory))
    return fresh, failed


def _alternate(
    names: list[str], repeats: int, directory: Path
) -> tuple[dict[str, wire.Figures], list[str]]:
    """Measure each way in turn. The order is reversed every other time, so that drift cancels."""
    beds, failed = _beds(directory)
    runs: dict[tuple[str, str], list[wire.Figures]] = {}
    for repeat in range(repeats):
        for name in names:
            print(f"bench: {repeat + 1} of {repeats}: {name}", file=sys.stderr)
            for turn in range(SLICES.get(name, 1)):
                for bed in beds if (repeat + turn) % 2 == 0 else beds[::-1]:
                    try:
                        runs.setdefault((bed.way.name, name), []).append(ON_A_BED[name](bed))
                    except (LabError, AssertionError) as error:
                        failed.append(f"{name}: {error}")
    fresh: dict[str, wire.Figures] = {}
    for (way, _), figures in runs.items():
        fresh.setdefault(way, {}).update(_medians(figures))
    return fresh, failed


def _beds(directory: Path) -> tuple[list[BenchBed], list[str]]:
    beds, failed = [], []
    for way in WAYS:
        try:
            beds.append(BenchBed(way, directory))
        except (LabError, AssertionError) as error:
            failed.append(str(error))
    return beds, failed


if __name__ == "__main__":
    sys.exit(main())
