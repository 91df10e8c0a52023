"""Helpers of several faults."""

# Faults replace functions and methods of the VTEP on purpose.
# mypy: disable-error-code="method-assign, assignment, attr-defined"

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from vtep import agent
from vtep.options import Options


def with_options(**changes: Callable[[Any], Any]) -> None:
    """Change options between the file and the core; `changes` maps an option to a function."""
    read = agent._options

    def changed(*arguments: Any) -> Options:
        options = read(*arguments)
        found = {name: change(getattr(options, name)) for name, change in changes.items()}
        return dataclasses.replace(options, **found)

    agent._options = changed


def public(names: dict[str, Any]) -> tuple[Callable[[], None], ...]:
    """The public functions of a module, which are its faults."""
    return tuple(
        each
        for name, each in names.items()
        if getattr(each, "__module__", None) == names["__name__"] and not name.startswith("_")
    )
