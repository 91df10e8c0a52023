"""Helpers shared by the modules that define faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from vtep import agent
from vtep.options import Options


def replace(owner: object, name: str, change: Callable[[Any], Any]) -> None:
    """Replace an attribute of a module or class by change(attribute)."""
    setattr(owner, name, change(getattr(owner, name)))


def with_options(**changes: Callable[[Any], Any]) -> None:
    """Change these options between the configuration and the core."""

    def changed(read: Callable[..., Options]) -> Callable[..., Options]:
        def options(*arguments: Any) -> Options:
            found = read(*arguments)
            new = {name: change(getattr(found, name)) for name, change in changes.items()}
            return dataclasses.replace(found, **new)

        return options

    replace(agent, "_options", changed)


def public(names: dict[str, Any]) -> tuple[Callable[[], None], ...]:
    """The faults that a module defines."""
    return tuple(
        each
        for name, each in names.items()
        if getattr(each, "__module__", None) == names["__name__"] and not name.startswith("_")
    )
