"""The programs of this project as processes: which Python runs them, and where their output goes.

A lab's processes run detached from the terminal, each with a log. They start in /, so that no file
in the user's directory can replace a module of ours.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from vxlab.errors import LabError

ROOT = Path(__file__).resolve().parents[2]  # the checkout, or the environment's site-packages
_FRAMEWORKS = ("ryu", "os_ken")  # the controller runs on either


@functools.cache
def python() -> str:
    """The path of the Python that has the project's dependencies.

    This process's own, if it has them. Plain `mn` runs the system's Python, which has not: then
    the environment that this package lies in, or .venv of the checkout. LabError if there is none.
    """
    if _has_dependencies():
        return sys.executable
    candidates = [ROOT / ".venv", *(place for place in ROOT.parents if _is_environment(place))]
    for environment in candidates:
        if (environment / "bin" / "python").exists():
            return str(environment / "bin" / "python")
    raise LabError(
        f"{sys.executable}: lacks Scapy or Ryu, and there is no environment {ROOT / '.venv'}; "
        "`make setup` in a checkout makes it"
    )


def _has_dependencies() -> bool:
    found = importlib.util.find_spec
    return found("scapy") is not None and any(found(name) for name in _FRAMEWORKS)


def _is_environment(place: Path) -> bool:
    return (place / "pyvenv.cfg").exists()


def environment() -> dict[str, str]:
    """The environment in which a process finds the project's packages."""
    given = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{given}" if given else str(ROOT)}


def module(name: str, *arguments: str) -> list[str]:
    """The command line that runs one of the project's modules."""
    return [python(), "-m", name, *arguments]


def spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; its output is appended to the log."""
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
            env=environment(),
        )


def last_line(log: Path) -> str:
    """The last line of a log, for an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return lines[-1] if lines else "no output"
