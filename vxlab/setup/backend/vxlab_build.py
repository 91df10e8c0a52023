"""The PEP 517 build backend of vxlab: setuptools, run on a temporary copy of the sources.

setuptools writes `build/` and `vxlab.egg-info/` next to pyproject.toml. Building from a copy leaves
the checkout as it was and also works when the checkout is read-only. The eBPF program is compiled
in the copy, so that the wheel contains it; without clang the wheel has none, and agents then use
the Python data path. An editable installation (`make setup`) refers to the checkout and is passed
to setuptools unchanged.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    prepare_metadata_for_build_editable,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

PACKAGES = ("controller", "topologies", "vtep", "vxlab")
FILES = ("pyproject.toml", "README.md", "LICENSE")
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.bpf.o", "*.egg-info")

Settings = dict[str, Any] | None


@contextlib.contextmanager
def _copy_of_sources() -> Iterator[None]:
    """Work in a temporary copy of the current directory, which pip sets to the checkout."""
    checkout = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="vxlab-build-") as name:
        copy = Path(name)
        for package in PACKAGES:
            shutil.copytree(checkout / package, copy / package, ignore=_NOT_COPIED)
        for file in FILES:
            shutil.copy(checkout / file, copy / file)
        _make_writable(copy)
        os.chdir(copy)
        try:
            yield
        finally:
            os.chdir(checkout)


def _make_writable(copy: Path) -> None:
    """Copies keep their modes; setuptools writes into the directories of a read-only checkout."""
    for directory in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        directory.chmod(directory.stat().st_mode | 0o700)


def _compile_fast_path() -> None:
    """Compile the eBPF program into the copy; a failure is reported and does not stop the build."""
    compiler = ["bash", "vxlab/setup/compile_fast_path.sh", "vtep/fastpath"]
    try:
        done = subprocess.run(compiler, capture_output=True, text=True, check=False)
        output = "" if done.returncode == 0 else done.stderr.strip() or "compiler failed"
    except OSError as error:
        output = f"bash: {error.strerror}"
    if output:
        print(f"vxlab: the eBPF program was not compiled: {output}", file=sys.stderr)


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Nothing beyond pyproject.toml's `requires`; asking setuptools writes egg-info."""
    return []


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """As for a wheel."""
    return []


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel into `wheel_directory`; returns its file name (PEP 517)."""
    target = os.path.abspath(wheel_directory)
    metadata = os.path.abspath(metadata_directory) if metadata_directory else None
    with _copy_of_sources():
        _compile_fast_path()
        return str(build_meta.build_wheel(target, config_settings, metadata))


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build a source archive into `sdist_directory`; returns its file name (PEP 517)."""
    target = os.path.abspath(sdist_directory)
    with _copy_of_sources():
        return str(build_meta.build_sdist(target, config_settings))


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the wheel's metadata; returns the name of its directory (PEP 517)."""
    target = os.path.abspath(metadata_directory)
    with _copy_of_sources():
        return str(build_meta.prepare_metadata_for_build_wheel(target, config_settings))
