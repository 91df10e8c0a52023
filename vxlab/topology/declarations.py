"""Checks of the options that a topology class declares, made when its file is loaded."""

from __future__ import annotations

import re
from typing import Any

from vxlab.topology.options import COMMON, Kind, Option
from vxlab.topology.places import Place, TopologyError, located_error, quoted

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Parameters of Mininet's Topo.__init__: it would take them away before the topology sees them.
_OF_MININET = ("self", "args", "params", "hopts", "sopts", "lopts")


def check_options(owner: str, options: object, file: str) -> None:
    """Check the attribute `options` of a topology class.

    owner: the name of the class. file: its file, as a message shows it. TopologyError names the
    option, the line where it is declared, and the rule.
    """
    if not isinstance(options, tuple | list):
        raise TopologyError(
            f"{file}: {owner}.options {quoted(options)}: must be a tuple of Option, "
            "such as options = (Option(...),)"
        )
    seen: dict[str, Place | None] = {}
    for option in options:
        if not isinstance(option, Option):
            raise TopologyError(f"{file}: {owner}.options has {quoted(option)}: must be an Option")
        if complaint := _name_complaint(option, seen) or _value_complaint(option):
            place = option.place
            message = f"option {quoted(option.name)}: {complaint}"
            raise (
                TopologyError(f"{file}: {message}")
                if place is None
                else located_error(place, message)
            )
        seen[option.name] = option.place


def _name_complaint(option: Option, seen: dict[str, Place | None]) -> str | None:
    """What is wrong with an option's name."""
    name: Any = option.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "the name must consist of a-z, 0-9 and '_', and start with a letter"
    if name in _OF_MININET:
        return "the name must not be a parameter of Mininet's Topo; choose another"
    if name in {common.name for common in COMMON}:
        return "the name must not be that of an option of all topologies; choose another"
    if name in seen:
        return "declared twice; the name must be unique in a topology"
    return None


def _value_complaint(option: Option) -> str | None:
    """What is wrong with an option's kind, default or help."""
    kind: Any = option.kind
    meaning: Any = option.help
    if not isinstance(kind, Kind):
        return f"kind {quoted(kind)}: must be FLAG, GROUP, whole(LOW, HIGH) or choice(WORD, ...)"
    if not isinstance(meaning, str):
        return f"help {quoted(meaning)}: must be a string"
    if option.default is None:
        return None
    try:
        read = kind.read(str(option.default))
    except Exception:  # a kind may be the user's own, and fail in its own way
        read = None
    if read is None or read != option.default:
        return f"default {quoted(option.default)}: must be {kind.allowed}"
    return None
