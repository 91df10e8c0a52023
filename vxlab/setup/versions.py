"""Versions of vxlab and of the programs and libraries a lab consists of.

Everything is asked where it runs; what is not installed has no version (None).
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str | None]:
    """Component -> version, None if it is not installed."""
    return {
        "vxlab": _package("vxlab"),
        "Python": platform.python_version(),
        "Open vSwitch": _open_vswitch(),
        "Mininet": _mininet(),
        "Ryu": _package("ryu"),
        "os-ken": _package("os-ken"),
        "Scapy": _package("scapy"),
        "kernel": os.uname().release,
    }


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _mininet() -> str | None:
    """The distribution's package has no metadata, so its module is asked."""
    try:
        return str(import_module("mininet.net").VERSION)
    except ImportError:
        return None


def _open_vswitch() -> str | None:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            ["ovs-vswitchd", "--version"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PATH": path},
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return found.group() if found else None
