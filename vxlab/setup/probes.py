"""How `vxlab doctor` queries the machine. The queries only collect facts; doctor.py judges them.

Unit tests replace this class by one that describes a machine of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_RUN_WITHIN_S = 60  # importing Ryu alone takes 10 s on a busy or emulated machine


class Probes:
    """The real machine. No query changes anything or raises."""

    def tool(self, name: str) -> bool:
        """Whether a command is on PATH or in a directory that only root has on PATH."""
        places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        return shutil.which(name, path=places) is not None

    def run(self, *command: str) -> str | None:
        """Standard output of a command, stripped; None if it failed or does not exist."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_RUN_WITHIN_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def python(self, program: str) -> str | None:
        """Standard output of a Python program, run by this interpreter; None if it raised."""
        return self.run(sys.executable, "-W", "ignore", "-c", program)

    def read(self, path: str) -> str | None:
        """A file of /proc or /sys, stripped; None if it cannot be read."""
        try:
            return Path(path).read_text().strip()
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        """Whether a path exists."""
        return os.path.exists(path)

    def opens(self, path: str) -> bool:
        """Whether this user may open a device for reading and writing."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            return False
        return True

    def root(self) -> bool:
        """Whether this is root."""
        return os.geteuid() == 0


@dataclass(frozen=True)
class Check:
    """One thing that a lab needs, or works better with, and its state on this machine.

    fix: one command line that fixes it, empty if ok. needed: no lab starts without it.
    lines: further output that explains the detail, such as the end of a log.
    """

    name: str
    ok: bool
    detail: str
    fix: str
    needed: bool
    lines: tuple[str, ...] = ()


def found(name: str, detail: str, needed: bool = True) -> Check:
    """A check that is satisfied."""
    return Check(name, True, detail, "", needed)


def lacking(
    name: str, detail: str, fix: str, needed: bool = True, lines: tuple[str, ...] = ()
) -> Check:
    """A check that is not satisfied, with the one command line that fixes it."""
    return Check(name, False, detail, fix, needed, lines)
