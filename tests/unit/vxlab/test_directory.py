"""Where the labs of a user are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vxlab.errors import LabError
from vxlab.system.directory import LabDirectory, base_directory, keep_base_directory


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VXLAB_BASE", "VXLAB_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_becomes_root_keeps_the_users_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the user namespace of a lab, the user is root."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("VXLAB_BASE", "")  # restored after the test
    keep_base_directory()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert base_directory() == tmp_path / "vxlab"


def test_a_relative_base_directory_is_made_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The processes of a lab run in another directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VXLAB_BASE", "labs")
    assert base_directory() == tmp_path / "labs"


def test_no_base_directory_means_no_labs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VXLAB_BASE", str(tmp_path / "none"))
    assert LabDirectory.all() == []


def test_a_base_directory_that_cannot_be_read_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VXLAB_BASE", str(tmp_path / "file"))
    with pytest.raises(LabError, match=r"file: Not a directory; set VXLAB_BASE"):
        LabDirectory.all()
