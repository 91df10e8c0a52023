"""Which VTEP is to be judged: one of the project's kinds, or anybody's command."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass

from vxlab.errors import UsageError
from vxlab.vteps.kinds import KINDS, VtepKind


@dataclass(frozen=True)
class Candidate:
    """A VTEP to be judged: its name, the command that starts it, and what it can be given.

    multicast: its segments have groups, else lists of remotes. trunk: one port bears all
    segments' VLANs tagged, else each segment has an untagged port of its own.
    """

    name: str
    command: tuple[str, ...]
    multicast: bool = True
    trunk: bool = True


PYTHON = Candidate("python", (sys.executable, "-m", "vtep"))


def kinds() -> dict[str, Candidate]:
    """The project's own kinds by name."""
    return {name: _of_kind(name, kind) for name, kind in KINDS.items()}


def _of_kind(name: str, kind: VtepKind) -> Candidate:
    command = (sys.executable, "-m", kind.module)
    return Candidate(name, command, kind.multicast, kind.trunk)


def of_kind(name: str) -> Candidate:
    """One kind; UsageError says which there are."""
    known = kinds()
    if name not in known:
        raise UsageError(f"{name}: no kind of VTEP; allowed: {', '.join(known)}")
    return known[name]


def of_command(text: str, multicast: bool = True, trunk: bool = True) -> Candidate:
    """Somebody's own VTEP, run as `COMMAND --config FILE.toml`; UsageError if it is no command."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{text!r}: no command: {error}") from None
    if not words:
        raise UsageError("the command of the VTEP is empty")
    return Candidate(words[0].rpartition("/")[2], words, multicast, trunk)
