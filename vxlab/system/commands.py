"""Commands of the system: where they are found, and how a failure is reported."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from vxlab.errors import LabError

# Debian leaves these out of an ordinary user's PATH; ethtool and Open vSwitch's daemons are there.
_SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin")


def use_system_directories() -> None:
    """Let this process and its children find commands in /usr/sbin and /sbin."""
    known = os.environ.get("PATH", os.defpath).split(os.pathsep)
    missing = [each for each in _SYSTEM_DIRECTORIES if each not in known]
    os.environ["PATH"] = os.pathsep.join([*known, *missing])


def require(commands: Iterable[str]) -> None:
    """LabError that names the commands that are not installed."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        raise LabError(
            f"not installed: {', '.join(missing)}; `vxlab doctor` names the packages to install"
        )


def run(*command: str) -> str:
    """Run a command and return its output; LabError with the last line of its stderr."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(
            f"{command[0]}: {error.strerror}; `vxlab doctor` names what is missing"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise LabError(f"{Path(command[0]).name}: {lines[-1]}")
    return done.stdout
