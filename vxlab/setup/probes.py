"""How the doctor asks the machine: the few questions that differ from machine to machine.

Tests hand in their own answers; nothing here judges them.
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
    """The real machine. Each question is cheap, changes nothing and never raises."""

    def tool(self, name: str) -> bool:
        """Whether a command is on PATH, or where only root's PATH leads."""
        places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        return shutil.which(name, path=places) is not None

    def run(self, *command: str) -> str | None:
        """Standard output of a command, stripped; None if it failed or is not there."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_RUN_WITHIN_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def python(self, program: str) -> str | None:
        """Standard output of a program for this very interpreter; None if it raised."""
        return self.run(sys.executable, "-W", "ignore", "-c", program)

    def read(self, path: str) -> str | None:
        """A file of /proc or /sys, stripped; None if it cannot be read."""
        try:
            return Path(path).read_text().strip()
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        """Whether a path is there."""
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
    """One thing a laboratory needs or profits from, as found.

    cure: one command line that fixes it, empty if ok. needed: no lab starts without it.
    lines: further output that explains the detail, such as the end of a log.
    """

    name: str
    ok: bool
    detail: str
    cure: str
    needed: bool
    lines: tuple[str, ...] = ()


def found(name: str, detail: str, needed: bool = True) -> Check:
    """A check that is satisfied."""
    return Check(name, True, detail, "", needed)


def lacking(
    name: str, detail: str, cure: str, needed: bool = True, lines: tuple[str, ...] = ()
) -> Check:
    """A check that is not satisfied, with the one command line that fixes it."""
    return Check(name, False, detail, cure, needed, lines)
