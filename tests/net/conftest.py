"""What holds for every test on a real lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.suite import Run, run_over_ours
from vxlab.lab.handle import labs

TEST_LABS = ("t-", "demo-")  # how the labs of these tests are called


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The suite's run over our VTEP as it is by default, and all its packets."""
    return run_over_ours(tmp_path_factory.mktemp("suite") / "suite.pcapng")


@pytest.fixture(autouse=True)
def no_traceback_in_any_log() -> Iterator[None]:
    """A part that crashed fails the test, even if nothing asked it."""
    yield
    for running in labs():
        if not running.name.startswith(TEST_LABS):
            continue  # somebody else's
        for log in (running.directory.path / "log").glob("*.log"):
            text = log.read_text(errors="replace")
            assert "Traceback (most recent call last)" not in text, f"{log}:\n{text[-3000:]}"
