"""The topologies there are: one file each in this package, or any file given by its path."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import topologies
from vxlab.errors import UsageError
from vxlab.topology.overlay import OverlayTopo


def names() -> list[str]:
    """The names of all topologies in the package."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(topologies.__path__)
        if not module.ispkg and module.name != "__main__"
    )


def load(name: str) -> type[OverlayTopo]:
    """The class of a topology, by its name or by the path of its file (`lab.py`, `./x/lab.py`)."""
    if name.endswith(".py"):
        return _only_topology(_load_file(Path(name)), name)
    if name not in names():
        raise UsageError(f"topology {name}: unknown; allowed: {', '.join(names())}, or a .py file")
    return _only_topology(importlib.import_module(f"topologies.{name}"), name)


def _load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"topology {path}: no such file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _only_topology(module: ModuleType, name: str) -> type[OverlayTopo]:
    topos = getattr(module, "topos", {})
    chosen = topos.get(Path(name).stem)
    if chosen is None and len(topos) == 1:
        (chosen,) = topos.values()
    if not (isinstance(chosen, type) and issubclass(chosen, OverlayTopo)):
        raise UsageError(
            f"topology {name}: its file needs `topos = {{'{Path(name).stem}': AnOverlayTopo}}`"
        )
    return chosen


def build(name: str, settings: dict[str, str]) -> OverlayTopo:
    """Build a topology with `--set` values; UsageError names what is wrong with them."""
    return load(name)(**settings)
