"""Which Python runs the project's programs, and how they are started."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vxlab.errors import LabError
from vxlab.system import programs


@pytest.fixture(autouse=True)
def forget_the_choice() -> Iterator[None]:
    programs.python.cache_clear()
    yield
    programs.python.cache_clear()


def importable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let only these of the dependencies be importable."""
    found = {name: object() for name in names}
    monkeypatch.setattr("importlib.util.find_spec", found.get)


def fake_python(environment: Path) -> str:
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return str(python)


@pytest.mark.parametrize("framework", ["ryu", "os_ken"])
def test_this_python_is_used_if_it_has_the_dependencies(
    monkeypatch: pytest.MonkeyPatch, framework: str
) -> None:
    importable(monkeypatch, "scapy", framework)
    assert programs.python() == sys.executable


@pytest.mark.parametrize("present", [(), ("scapy",), ("ryu",)])
def test_otherwise_the_environment_of_the_checkout_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, present: tuple[str, ...]
) -> None:
    importable(monkeypatch, *present)
    monkeypatch.setattr(programs, "ROOT", tmp_path)
    expected = fake_python(tmp_path / ".venv")
    assert programs.python() == expected


def test_an_installed_package_finds_the_environment_it_is_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    importable(monkeypatch)
    monkeypatch.setattr(programs, "ROOT", tmp_path / "v" / "lib" / "python3.11" / "site-packages")
    expected = fake_python(tmp_path / "v")
    (tmp_path / "v" / "pyvenv.cfg").touch()
    assert programs.python() == expected


def test_without_any_environment_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    importable(monkeypatch)
    monkeypatch.setattr(programs, "ROOT", tmp_path)
    with pytest.raises(LabError, match=r"lacks Scapy or Ryu.*`make setup`"):
        programs.python()


def test_a_users_files_do_not_stand_in_for_modules_of_the_project(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`python -m` searches the current directory first."""
    (tmp_path / "controller.py").write_text("print('the wrong one')")
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    assert programs.spawn(programs.module("controller", "--help"), log).wait() == 0
    assert "--listen" in log.read_text()


def test_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert programs.last_line(log) == "no output"
    log.write_text("one\ntwo\n\n")
    assert programs.last_line(log) == "two"
