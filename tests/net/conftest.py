"""Fixtures for all tests on real labs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import RunningLab, lab
from tests.support.suite import Run, run_over_ours
from vxlab.lab.handle import labs


@pytest.fixture(scope="session", autouse=True)
def base_directory() -> Iterator[Path]:
    """A directory for the labs of this process.

    So test runs, and workers of one run, can use the same lab names at the same time.
    """
    before = os.environ.get("VXLAB_BASE")
    path = Path(tempfile.mkdtemp(prefix="vxlab-t-", dir=before))
    os.environ["VXLAB_BASE"] = str(path)
    yield path
    for left in labs():
        left.end()
    shutil.rmtree(path, ignore_errors=True)
    os.environ.pop("VXLAB_BASE")
    if before is not None:
        os.environ["VXLAB_BASE"] = before


@pytest.fixture(scope="module")
def three_vteps() -> Iterator[RunningLab]:
    """The lab of the demo, shared by the tests of a module."""
    with lab("three_vteps", "t-scene") as running:
        running.watch()
        yield running


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The conformance suite's run over our VTEP with its default settings, and all packets."""
    return run_over_ours(tmp_path_factory.mktemp("suite") / "suite.pcapng")


@pytest.fixture(autouse=True)
def no_traceback_in_any_log() -> Iterator[None]:
    """Fail the test if a component has crashed, even if no assertion noticed."""
    yield
    for running in labs():
        for log in (running.directory.path / "log").glob("*.log"):
            text = log.read_text(errors="replace")
            assert "Traceback (most recent call last)" not in text, f"{log}:\n{text[-3000:]}"
