"""Run the conformance suite on the project's own VTEP, for tests that share the result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from vxlab.conformance.candidate import PYTHON
from vxlab.conformance.catalogue import rows_of
from vxlab.conformance.report import ConformanceReport
from vxlab.conformance.session import judge_all


@dataclass(frozen=True)
class Run:
    """The report, and a capture of all packets."""

    report: ConformanceReport
    capture: Path


def run_over_ours(capture: Path) -> Run:
    """Judge all rows; capture: the file for all packets."""
    began = time.monotonic()
    judged = tuple(judge_all(PYTHON, rows_of(), str(capture)))
    return Run(ConformanceReport(PYTHON, judged, time.monotonic() - began), capture)
