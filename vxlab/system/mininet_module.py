"""Makes Mininet's Python module importable from the project's own Python environment.

Only the distribution's package of Mininet has `mnexec`, so its Python module is the one to use.
An environment with all of the distribution's modules (`--system-site-packages`) does not work: an
old OpenSSL binding next to a newer `cryptography` keeps eventlet from starting. This finder
therefore opens the distribution's directory for one name only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
DIRECTORIES = (
    "/usr/lib/python3/dist-packages",  # Debian and Ubuntu
    f"/usr/local/lib/python{_VERSION}/dist-packages",  # installed from its sources
)


class MininetFinder(MetaPathFinder):
    """Finds `mininet` in the distribution's directories, and nothing else."""

    def __init__(self, directories: Sequence[str] = DIRECTORIES) -> None:
        self.directories = list(directories)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of Mininet's package; its submodules are found through it."""
        return PathFinder.find_spec(name, self.directories) if name == "mininet" else None


def make_importable() -> None:
    """Add the finder behind all others: a Mininet in the environment itself has priority."""
    if not any(isinstance(finder, MininetFinder) for finder in sys.meta_path):
        sys.meta_path.append(MininetFinder())
