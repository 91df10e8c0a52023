"""Fixtures and evidence: a failed test leaves its lab's logs, tables and flows in artefacts/."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.labs import RunningLab, lab, vxlab
from vxlab.lab.handle import labs

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started by a shell in the background: what we start would not hear Ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ARTEFACTS = Path(__file__).parent / "artefacts"


@pytest.fixture(scope="module")
def three_vteps() -> Iterator[RunningLab]:
    """The lab of the scene, shared by the tests of a module."""
    with lab("three_vteps", "t-scene") as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Keep the evidence of a failed test while its labs still stand."""
    report = yield
    if report.failed and "net" in item.path.parts:
        folder = ARTEFACTS / re.sub(r"[^\w.-]+", "_", item.nodeid)
        kept = [_keep(running.name, running.directory.path, folder) for running in labs()]
        if kept:
            report.sections.append(("evidence", f"kept in {folder}"))
    return report


def _keep(name: str, directory: Path, folder: Path) -> Path:
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    for log in sorted((directory / "log").glob("*.log")):
        shutil.copy(log, target)
    for command in ("fdb", "groups", "stats"):
        done = vxlab(command, "--lab", name, "--json")
        (target / f"{command}.json").write_text(done.stdout + done.stderr)
    for row in [row for row in _nodes(name) if row["kind"] == "switch"]:
        switch = row["name"]
        done = vxlab(
            "exec", "--lab", name, switch, "--", "ovs-ofctl", "-OOpenFlow13", "dump-flows", switch
        )
        (target / f"{switch}-flows.txt").write_text(done.stdout + done.stderr)
    return target


def _nodes(name: str) -> list[dict[str, Any]]:
    return next((running.nodes() for running in labs() if running.name == name), [])
