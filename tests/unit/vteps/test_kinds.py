"""Kinds of VTEP are found in their own modules and in other packages' entry points."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from tests.support.labs import CHECKOUT
from vxlab.vteps import kinds
from vxlab.vteps.kind import VtepKind

OTHER = VtepKind("other", "some.module", "of another package")
TWICE = VtepKind("linux", "some.module", "a name that is taken")
NOT_A_KIND = "a text"


def point(name: str) -> EntryPoint:
    return EntryPoint("hub", f"{__name__}:{name}", kinds.ENTRY_POINTS)


def found_with(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> dict[str, VtepKind]:
    monkeypatch.setattr(kinds, "entry_points", lambda group: points)
    return kinds.find_kinds()


def test_the_kinds_of_this_package_are_found_and_the_default_is_first() -> None:
    assert list(kinds.KINDS)[:3] == ["python", "linux", "ovs"]


def test_a_kind_of_another_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_with(monkeypatch, point("OTHER"))["other"] == OTHER


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MISSING", "AttributeError"),
        ("NOT_A_KIND", "it must name a VtepKind, such as MODULE:KIND, and is a str"),
        ("TWICE", "a kind named linux exists already"),
    ],
)
def test_a_kind_that_cannot_be_used_is_reported_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    assert found_with(monkeypatch, point(name)) == found_with(monkeypatch)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vxlab: VTEP kind hub ({__name__}:{name}) is left out: ")
    assert reason in line


def test_finding_the_kinds_imports_nothing_slow() -> None:
    """Plain `mn` does it under the system's Python, where these modules may be missing."""
    slow = "('mininet', 'pyroute2', 'scapy', 'tomli', 'rich', 'click')"
    code = (
        "import sys\n"
        f"for name in {slow}: sys.modules[name] = None\n"
        "from vxlab.vteps.kinds import KINDS\n"
        "print(*KINDS)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.stdout.split()[:3] == ["python", "linux", "ovs"], done.stderr


def test_nothing_compares_the_name_of_a_kind() -> None:
    """Where kinds differ, their attributes say so."""
    places = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno}"
        for path in sorted((CHECKOUT / "vxlab").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(
            isinstance(side, ast.Constant) and side.value in kinds.KINDS
            for side in (node.left, *node.comparators)
        )
        and any(
            "vtep" in ast.unparse(side) or "kind" in ast.unparse(side)
            for side in (node.left, *node.comparators)
        )
    ]
    assert places == []
