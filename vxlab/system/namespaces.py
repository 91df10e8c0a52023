"""System calls about namespaces that Python's standard library lacks before 3.12.

How a lab uses them: `sandbox` and `vxlab.lab.enter`.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move this process into new namespaces of the kinds given by CLONE_ flags."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Enter the namespace behind an open /proc/PID/ns file; kind is a CLONE_ flag, or 0 for any."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, fstype: str | None = None, flags: int = 0) -> None:
    """Mount, bind or change propagation, as mount(2); the OSError names the target."""
    kind = fstype.encode() if fstype else None
    done = _libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), None)
    _check(done, f"mount on {target}")


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for a signal when the parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


def stay_visible() -> None:
    """Keep /proc/self readable to its owner, although this process has changed its credentials."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def map_to_root(uid: int, gid: int) -> None:
    """Map uid and gid of the parent namespace to root in this new user namespace."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
