"""Finds the kinds of VTEP that a hypervisor may have.

A kind is declared by the variable `KIND` of its own module. Two places are searched:

- every module of this package;
- the entry points of the group `vxlab.vteps`, where other Python packages register theirs.

Nothing else lists the kinds.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

import vxlab.vteps
from vxlab.vteps.kind import VtepKind

__all__ = ["DEFAULT_KIND", "ENTRY_POINTS", "KINDS", "VtepKind"]

ENTRY_POINTS = "vxlab.vteps"
DEFAULT_KIND = "python"


def _in_this_package() -> Iterator[VtepKind]:
    """The kinds of this package; modules without `KIND` are their helpers."""
    for module in pkgutil.iter_modules(vxlab.vteps.__path__, "vxlab.vteps."):
        if module.name != __name__:
            kind = getattr(importlib.import_module(module.name), "KIND", None)
            if isinstance(kind, VtepKind):
                yield kind


def _loaded(point: EntryPoint) -> VtepKind | str:
    """The kind that an entry point names, or why it cannot be used."""
    try:
        kind = point.load()
    except Exception as error:  # code of another package: any error is possible
        return f"{type(error).__name__}: {error}"
    if not isinstance(kind, VtepKind):
        return f"it must name a VtepKind, such as MODULE:KIND, and is a {type(kind).__name__}"
    return kind


def _of_other_packages(known: dict[str, VtepKind]) -> Iterator[VtepKind]:
    """The kinds of other packages. One that cannot be used is reported and left out.

    A broken package must not stop labs that do not use it.
    """
    for point in entry_points(group=ENTRY_POINTS):
        kind = _loaded(point)
        if isinstance(kind, VtepKind) and kind.name in known:
            kind = f"a kind named {kind.name} exists already"
        if isinstance(kind, VtepKind):
            yield kind
        else:
            text = f"vxlab: VTEP kind {point.name} ({point.value}) is left out: {kind}"
            print(text, file=sys.stderr)


def find_kinds() -> dict[str, VtepKind]:
    """All kinds by name: the default one first, then those of this package, then the others."""
    own = sorted(_in_this_package(), key=lambda kind: (kind.name != DEFAULT_KIND, kind.name))
    kinds = {kind.name: kind for kind in own}
    for kind in _of_other_packages(kinds):
        kinds[kind.name] = kind
    return kinds


KINDS = find_kinds()
