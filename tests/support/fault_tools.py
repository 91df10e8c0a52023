"""What faults of several kinds are made with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from vtep import agent, core


def with_options(**changes: Callable[[Any], Any]) -> None:
    """What the file says of these options is changed on its way to the core."""
    read = agent._options

    def changed(*arguments: Any) -> core.Options:
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
