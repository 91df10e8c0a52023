"""The VXLAN laboratory: describe a lab, run it, look into it, test VTEPs.

Public names, for topology files and tests:

    OverlayTopo                             base class of every topology
    OverlaySegment, Hypervisor, Vm          what its methods segment(), hypervisor(), vm() return
    Option, FLAG, GROUP, choice, whole      options of a topology (`--set KEY=VALUE`)
    LAST_HYPERVISOR                         how many hypervisors a lab may have
    UnderlayController                      the controller, for plain `mn --custom`
    LabError, UsageError, TopologyError     errors: exit status 1, 2 and 2
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vxlab.errors import LabError, UsageError
from vxlab.system.mininet_module import make_importable

if TYPE_CHECKING:
    from vxlab.nodes.plain_mininet import UnderlayController
    from vxlab.topology.options import FLAG, GROUP, Option, choice, whole
    from vxlab.topology.overlay import LAST_HYPERVISOR, OverlayTopo
    from vxlab.topology.places import TopologyError
    from vxlab.topology.plan import Hypervisor, OverlaySegment, Vm

__all__ = [
    "FLAG",
    "GROUP",
    "LAST_HYPERVISOR",
    "Hypervisor",
    "LabError",
    "Option",
    "OverlaySegment",
    "OverlayTopo",
    "TopologyError",
    "UnderlayController",
    "UsageError",
    "Vm",
    "choice",
    "whole",
]

make_importable()  # before anything of this package imports Mininet

# Loaded on first use: Mininet costs import time, and most commands do not need it.
_HOMES = {
    "FLAG": "vxlab.topology.options",
    "GROUP": "vxlab.topology.options",
    "Hypervisor": "vxlab.topology.plan",
    "LAST_HYPERVISOR": "vxlab.topology.overlay",
    "Option": "vxlab.topology.options",
    "OverlaySegment": "vxlab.topology.plan",
    "OverlayTopo": "vxlab.topology.overlay",
    "TopologyError": "vxlab.topology.places",
    "UnderlayController": "vxlab.nodes.plain_mininet",
    "Vm": "vxlab.topology.plan",
    "choice": "vxlab.topology.options",
    "whole": "vxlab.topology.options",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, also those that are not loaded yet."""
    return sorted({*globals(), *__all__})
