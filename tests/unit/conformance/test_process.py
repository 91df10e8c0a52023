"""The VTEP under test as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.poll import eventually
from vxlab.conformance.candidate import of_command
from vxlab.conformance.process import DidNotStart, VtepProcess


def test_it_runs_in_the_environment_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed vxlab must not put its directories before the user's."""
    monkeypatch.setenv("PYTHONPATH", "/of/the/user")
    process = VtepProcess(["sh", "-c", "echo path=$PYTHONPATH"], tmp_path / "vtep.toml")

    def ended() -> None:
        assert process.status == 0
        assert process.last_line() == "path=/of/the/user"

    eventually(ended)


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match=r"^/nonexistent/vtep: No such file or directory$"):
        VtepProcess(["/nonexistent/vtep"], tmp_path / "vtep.toml")


def test_a_candidate_is_called_by_its_command() -> None:
    assert of_command("python  'my vtep.py' --quiet").name == "python 'my vtep.py' --quiet"
