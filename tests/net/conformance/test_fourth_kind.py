"""The worked example of docs/guides/vtep-kinds.md is a VTEP: it forwards, and the suite finds what it lacks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from vxlab.conformance.candidate import Candidate
from vxlab.conformance.catalogue import rows_of
from vxlab.conformance.session import Judged, judge_all
from vxlab.conformance.verdict import Verdict
from vxlab.vteps.kinds import VtepKind

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "vtep-kinds.md"
WHOLE, ROW = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
ROWS = ("N1", "N4", "N19", "N20", "N22", "N24", "N43.trusted")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    file = tmp_path_factory.mktemp("kind") / "hub.py"
    file.write_text(WHOLE)
    kind: VtepKind = eval(ROW, {"VtepKind": VtepKind})
    candidate = Candidate(kind.name, (sys.executable, str(file)), kind.multicast, kind.trunk)
    return {each.row.id: each for each in judge_all(candidate, rows_of(ROWS))}


@pytest.mark.parametrize("row", ["N1", "N19", "N20", "N22", "N24"])
def test_it_encapsulates_and_decapsulates(judged: dict[str, Judged], row: str) -> None:
    assert judged[row].finding.verdict is Verdict.CONFORMS, judged[row].finding.text


def test_what_it_does_not_do_is_found(judged: dict[str, Judged]) -> None:
    assert judged["N4"].finding.verdict is Verdict.DEVIATES


def test_what_it_says_it_cannot_do_is_not_judged(judged: dict[str, Judged]) -> None:
    finding = judged["N43.trusted"].finding
    assert finding.verdict is Verdict.UNOBSERVABLE
    assert "underlay.trusted" in finding.text
