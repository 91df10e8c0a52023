"""Tests on a running lab, in anybody's repository: the public names.

    RunningLab              a lab that is up, with its helpers
    running_lab             a lab for the length of a `with` block
    Recording               packets seen on links
    eventually              wait until a check holds
    vxlab, vxlab_ok         run the command `vxlab`
    assert_learned, assert_not_learned, assert_flooded_only_to, assert_unicast, assert_isolated

The fixture `lab` and the marker `vxlab` come from the plugin (docs/guides/testing.md).
The names are loaded on first use: pytest loads this package in every run, also where no test uses
a lab.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vxlab.testing.assertions import (
        assert_flooded_only_to,
        assert_isolated,
        assert_learned,
        assert_not_learned,
        assert_unicast,
    )
    from vxlab.testing.commands import vxlab, vxlab_ok
    from vxlab.testing.lab import RunningLab, StartFailed, running_lab
    from vxlab.testing.polling import eventually
    from vxlab.testing.recording import Recording

__all__ = [
    "Recording",
    "RunningLab",
    "StartFailed",
    "assert_flooded_only_to",
    "assert_isolated",
    "assert_learned",
    "assert_not_learned",
    "assert_unicast",
    "eventually",
    "running_lab",
    "vxlab",
    "vxlab_ok",
]

_HOMES = {
    **dict.fromkeys((name for name in __all__ if name.startswith("assert_")), "assertions"),
    **dict.fromkeys(("vxlab", "vxlab_ok"), "commands"),
    **dict.fromkeys(("RunningLab", "StartFailed", "running_lab"), "lab"),
    "Recording": "recording",
    "eventually": "polling",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"vxlab.testing.{_HOMES[name]}"), name)
