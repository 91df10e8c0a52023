"""The topologies there are: the files of the folder `topologies`, or any file given by its path."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from vxlab.errors import UsageError
from vxlab.topology.declarations import check_options
from vxlab.topology.options import COMMON, Option, Settings
from vxlab.topology.overlay import OverlayTopo
from vxlab.topology.places import TopologyError, explained, one_line, quoted, shown_path

# Beside this package in a checkout and in site-packages alike. The folder is read as files, since
# `import topologies` would find a folder of that name in the user's working directory.
FOLDER = Path(__file__).resolve().parents[2] / "topologies"


# Calling such a function does not run it.
_NEVER_RUN = (
    inspect.isgeneratorfunction,
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
)


@dataclass(frozen=True)
class Description:
    """What `vxlab list` shows of a topology: its own options, without the common ones."""

    name: str
    summary: str
    options: tuple[Option, ...]


def names() -> list[str]:
    """The names of all topologies that come with vxlab."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def describe(name: str) -> Description:
    """A topology's name, summary and options, by its name or by the path of its file.

    UsageError as for `load`. The summary is the first line of the class's docstring, or of the
    file's, or empty.
    """
    topology = load(name)
    module = sys.modules[topology.__module__]
    text = (topology.__doc__ or module.__doc__ or "").strip()
    return Description(Path(name).stem, text.partition("\n")[0], tuple(topology.options))


def load(name: str) -> type[OverlayTopo]:
    """The class of a topology, by its name or by the path of its file (`lab.py`, `./x/lab.py`).

    UsageError, in one line, where there is no such topology or its file is invalid.
    """
    path = _path_of(name)
    topology = _topology_of(_load_file(path), path)
    check_options(topology.__name__, topology.options, shown_path(path))
    return topology


def build(name: str, settings: Mapping[str, str]) -> OverlayTopo:
    """Build a topology with `--set` values.

    UsageError, in one line, names what is wrong with a value, or file and line of what is wrong in
    the topology file, an exception of the user's code included.
    """
    path = _path_of(name)
    topology = load(name)
    try:
        # Checked here first: Mininet's constructor takes some keys away, and Python refuses `self`.
        Settings((*COMMON, *topology.options), settings)
        with contextlib.redirect_stdout(sys.stderr):  # of --json, stdout is one document
            topo = topology(**settings)
    except TopologyError:
        raise
    except UsageError as error:
        if _raised_in(error, path):
            raise explained(error, path) from error
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and whatever else the user's code raises
        raise explained(error, path) from error
    if not topo.is_checked():
        raise TopologyError(
            f"{shown_path(path)}: class {topology.__name__}: its __init__() and build() must call "
            "those of super(), or be left out"
        )
    return topo


def _raised_in(error: BaseException, path: Path) -> bool:
    """Whether the user's own code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == str(path)


def _path_of(name: str) -> Path:
    """The file of a topology; a name wins over a file of the working directory."""
    if name in names():
        return FOLDER / f"{name}.py"
    try:
        return _own_file(name)
    except OSError as error:  # a path that is too long, or a folder that may not be searched
        raise UsageError(f"topology {shown(name)}: {error.strerror}") from None


def _own_file(name: str) -> Path:
    path = Path(name)
    if name and path.is_dir():
        raise UsageError(f"topology {shown(name)}: is a directory; must be a Python file or a name")
    if not name.endswith(".py"):
        if Path(f"{name}.py").is_file():
            raise UsageError(f"topology {shown(name)}: unknown; did you mean {name}.py?")
        if path.is_file():
            raise UsageError(f"topology {shown(name)}: the file's name must end in .py")
        known = ", ".join(names())
        raise UsageError(f"topology {shown(name)}: unknown; must be one of {known}, or a .py file")
    if not path.exists():
        raise UsageError(f"topology {shown(name)}: no such file")
    if not path.is_file():
        raise UsageError(f"topology {shown(name)}: is not a regular file; must be a Python file")
    return path


def shown(name: str) -> str:
    """A topology's name as a message shows it."""
    return one_line(name) if name.isprintable() and name else quoted(name)


def _load_file(path: Path) -> ModuleType:
    """Execute a topology file as a module of a name that shadows no other module."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise TopologyError(f"{shown_path(path)}: cannot be read: {error.strerror}") from None
    if b"\0" in source:
        raise TopologyError(f"{shown_path(path)}: is a binary file; must be Python source text")
    module = ModuleType(f"vxlab_topology_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and enums look their module up
    try:
        with contextlib.redirect_stdout(sys.stderr):  # as in `build`
            exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except TopologyError:
        raise
    except UnicodeDecodeError as error:
        raise TopologyError(f"{shown_path(path)}: is not UTF-8 text: {error.reason}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and whatever else the user's code raises
        raise explained(error, path) from error
    return module


def _topology_of(module: ModuleType, path: Path) -> type[OverlayTopo]:
    """The one class that a file offers under its own name, or the only one."""
    file, stem = shown_path(path), path.stem
    topos: Any = getattr(module, "topos", None)
    example = f'topos = {{"{stem}": YourTopology}}'
    if topos is None:
        raise TopologyError(f"{file}: `topos` is missing; write for example {example}")
    if not isinstance(topos, dict) or not topos:
        raise TopologyError(
            f"{file}: topos {quoted(topos)}: must be a dictionary with a topology, for example "
            f"{example}"
        )
    if stem not in topos and len(topos) > 1:
        raise TopologyError(
            f"{file}: topos has {', '.join(map(quoted, topos))}; one name must be '{stem}', "
            "like the file"
        )
    chosen = topos.get(stem, next(iter(topos.values())))
    if not (isinstance(chosen, type) and issubclass(chosen, OverlayTopo)):
        raise TopologyError(
            f"{file}: topos has {quoted(chosen)}: must be a class derived from OverlayTopo"
        )
    _check_methods(chosen, file)
    return chosen


def _check_methods(topology: type[OverlayTopo], file: str) -> None:
    """A topology overrides `lay`, not Mininet's `build`, in which the checks are made."""
    if topology.lay is OverlayTopo.lay:
        own = " (and not build())" if topology.build is not OverlayTopo.build else ""
        raise TopologyError(
            f"{file}: class {topology.__name__} has no method lay(self); must define it{own}"
        )
    if any(test(topology.lay) for test in _NEVER_RUN):
        raise TopologyError(
            f"{file}: {topology.__name__}.lay: must be a plain function, without async and yield"
        )
