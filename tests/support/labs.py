"""Labs in the project's own tests, and the processes and namespaces they leave on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from vxlab.testing.commands import VXLAB, vxlab, vxlab_ok
from vxlab.testing.lab import RunningLab, address_of, running_lab

__all__ = [
    "CHECKOUT",
    "VXLAB",
    "RunningLab",
    "address_of",
    "lab",
    "namespaces_in_use",
    "namespaces_of",
    "processes_below",
    "processes_of",
    "vxlab",
    "vxlab_ok",
]

CHECKOUT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def lab(topology: str, name: str, *settings: str) -> Iterator[RunningLab]:
    """Run a lab with exactly this name: tests have their own base directory."""
    with running_lab(topology, *settings, name=name) as running:
        yield running


def namespaces_in_use() -> set[str]:
    """The network namespaces of all processes of this machine."""
    return {link for pid in _pids() if (link := _net_of(pid))}


def namespaces_of(directory: Path) -> set[str]:
    """The network namespaces of a lab's processes, other than this process's own."""
    theirs = {_net_of(Path("/proc") / pid) for pid in processes_of(directory)}
    return {link for link in theirs if link} - {_net_of(Path("/proc/self")) or ""}


def _pids() -> Iterator[Path]:
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def _net_of(process: Path) -> str | None:
    try:
        return str((process / "ns" / "net").readlink())
    except OSError:
        return None


def processes_of(directory: Path) -> list[str]:
    """The pids of all processes that have a lab's directory in their environment."""
    marker = f"VXLAB_DIR={directory}".encode()
    return [path.name for path in _pids() if marker in _environment(path)]


def processes_below(base: Path) -> list[str]:
    """The pids of all processes of any lab below a base directory."""
    marker = f"VXLAB_DIR={base}/".encode()
    return [path.name for path in _pids() if any(e.startswith(marker) for e in _environment(path))]


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
