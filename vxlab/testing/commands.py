"""The command `vxlab`, run from a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vxlab.testing.forked import vxlab_forked

UP_WITHIN_S = 120.0
# These start or end no process that outlives them: a fork can run them, without starting Python.
_FORKED = ("exec", "fdb", "groups", "move", "nodes", "ps", "restart", "stats")


def _command() -> list[str]:
    """The command installed beside this Python.

    `python -m vxlab` is the same, but searches the current directory for modules first, where a
    repository may have packages called `controller` or `topologies`.
    """
    script = Path(sys.executable).with_name("vxlab")
    return [str(script)] if script.exists() else [sys.executable, "-m", "vxlab"]


VXLAB = _command()


def vxlab(*arguments: str, timeout: float = UP_WITHIN_S) -> subprocess.CompletedProcess[str]:
    """Run `vxlab`, whatever its exit status."""
    if arguments[0] in _FORKED:
        return vxlab_forked(*arguments, timeout=timeout)
    return subprocess.run([*VXLAB, *arguments], capture_output=True, text=True, timeout=timeout)


def vxlab_ok(*arguments: str, timeout: float = UP_WITHIN_S) -> str:
    """Run `vxlab` and return its output; AssertionError with all output if it fails."""
    done = vxlab(*arguments, timeout=timeout)
    assert done.returncode == 0, (
        f"vxlab {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout
