"""The plugin that turns skips into failures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lint.files import CHECKOUT

SKIPS = {
    "by mark": '@pytest.mark.skipif(True, reason="no tool")\ndef test_it(): pass',
    "by call": 'def test_it(): pytest.skip("no tool")',
    "by fixture": '@pytest.fixture\ndef tool(): pytest.skip("no tool")\ndef test_it(tool): pass',
    "whole module": 'pytest.skip("no tool", allow_module_level=True)',
}


def pytest_run(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(file)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("text", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_is_a_failure_that_shows_its_reason(tmp_path: Path, text: str) -> None:
    file = tmp_path / "test_skips.py"
    file.write_text(f"import pytest\n{text}\n")
    done = pytest_run(file, "-p", "tests.support.no_skips")
    assert done.returncode != 0
    assert "skips are failures in this run" in done.stdout and "no tool" in done.stdout


def test_passing_and_expected_failures_still_pass(tmp_path: Path) -> None:
    file = tmp_path / "test_fine.py"
    file.write_text(
        "import pytest\ndef test_it(): pass\n@pytest.mark.xfail\ndef test_known(): assert False\n"
    )
    done = pytest_run(file, "-p", "tests.support.no_skips")
    assert done.returncode == 0 and "1 passed, 1 xfailed" in done.stdout
