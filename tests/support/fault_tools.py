"""What faults of several kinds are made with."""

# Faults replace functions and methods of the VTEP on purpose.
# mypy: disable-error-code="method-assign, assignment, attr-defined"

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from vtep import agent
from vtep.options import Options


def with_options(**changes: Callable[[Any], Any]) -> None:
    """What the file says of these options is changed on its way to the core."""
    read = agent._options

    def changed(*arguments: Any) -> Options:
        options = read(*arguments)
        found = {name: change(getattr(options, name)) for name, change in changes.items()}
        return dataclasses.replace(options, **found)

    agent._options = changed


def public(names: dict[str, Any]) -> tuple[Callable[[], None], ...]:
    """The faults among a module's names."""
    return tuple(
        each
        for name, each in names.items()
        if getattr(each, "__module__", None) == names["__name__"] and not name.startswith("_")
    )
