"""The VXLAN laboratory: describe a lab, run it, look into it, judge VTEPs.

Public names, for topology files and tests:

    OverlayTopo                      base class of every topology
    Option, choice, whole, FLAG      options of a topology (`--set KEY=VALUE`)
    UnderlayController               the controller, for plain `mn --custom`
    LabError, UsageError             what can go wrong, exit status 1 and 2
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vxlab.errors import LabError, UsageError

if TYPE_CHECKING:
    from vxlab.nodes.plain_mininet import UnderlayController
    from vxlab.topology.options import FLAG, Option, choice, whole
    from vxlab.topology.overlay import OverlayTopo

__all__ = [
    "FLAG",
    "LabError",
    "Option",
    "OverlayTopo",
    "UnderlayController",
    "UsageError",
    "choice",
    "whole",
]

# Loaded on first use: Mininet costs time, and most commands do without it.
_HOMES = {
    "FLAG": "vxlab.topology.options",
    "Option": "vxlab.topology.options",
    "OverlayTopo": "vxlab.topology.overlay",
    "UnderlayController": "vxlab.nodes.plain_mininet",
    "choice": "vxlab.topology.options",
    "whole": "vxlab.topology.options",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
