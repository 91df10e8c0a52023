"""The VTEP to be judged: one of the known kinds, or any command."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass

from vxlab.errors import UsageError
from vxlab.vteps.kinds import DEFAULT_KIND, KINDS, VtepKind


@dataclass(frozen=True)
class Candidate:
    """A VTEP to be judged: its name in reports, its command, and what its setups contain.

    multicast: its segments have groups; otherwise lists of remotes. trunk: one port carries the
    VLANs of all segments tagged; otherwise each segment has an untagged port of its own.
    hint: what to try if it does not start.
    """

    name: str
    command: tuple[str, ...]
    multicast: bool = True
    trunk: bool = True
    hint: str = ""


def kinds() -> dict[str, Candidate]:
    """The known kinds by name."""
    return {name: _of_kind(kind) for name, kind in KINDS.items()}


def _of_kind(kind: VtepKind) -> Candidate:
    command = (sys.executable, "-m", kind.module)
    return Candidate(kind.name, command, kind.multicast, kind.trunk)


def of_kind(name: str) -> Candidate:
    """One kind; UsageError lists the known ones."""
    known = kinds()
    if name not in known:
        raise UsageError(f"VTEP kind {name!r} is unknown; it must be one of: {', '.join(known)}")
    return known[name]


PYTHON = of_kind(DEFAULT_KIND)


def of_command(text: str, multicast: bool = True, trunk: bool = True) -> Candidate:
    """Any VTEP, run as `COMMAND --config FILE.toml`. Reports call it by its command.

    UsageError if the text is not a command.
    """
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"VTEP command {text!r} cannot be parsed: {error}") from None
    if not arguments:
        raise UsageError("the VTEP command is empty")
    return Candidate(shlex.join(arguments), arguments, multicast, trunk, _hint(multicast, trunk))


def _hint(multicast: bool, trunk: bool) -> str:
    """The options that describe a VTEP which does not support what its setup contained."""
    hints = []
    if multicast:
        hints.append("--no-multicast if it does not support multicast groups")
    if trunk:
        hints.append("--no-trunk if it needs an untagged port for each segment")
    return f"try {', or '.join(hints)}" if hints else ""
