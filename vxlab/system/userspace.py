"""What makes Open vSwitch's userspace datapath bear more: bigger queues, and a CPU of its own.

One thread of vswitchd carries every frame of a lab. A super-frame that a tunnel cuts into forty
packets overruns its sockets' default buffers, and the receiving work of all virtual links would be
done in that thread's time, too: so it keeps to one CPU, and that work is for the others.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from pathlib import Path

from vxlab.system.directory import LabDirectory

_BUFFER = 4 << 20  # bytes a port
_SO_RCVBUFFORCE = 33
_PIDFD_GETFD = 438  # the same number on all architectures
_RPS = Path("/proc/sys/net/core/rps_default_mask")  # of this network namespace, from Linux 6.4 on
_CPUS = 32  # of one word of the mask; a lab has no use for more
_PID_NAMESPACE = Path("/proc/self/ns/pid")


def relieve(directory: LabDirectory) -> int:
    """Keep the forwarding thread of a lab's vswitchd, its first, to its CPU, and grow its queues.

    The packet sockets get room for bursts, for which vswitchd has no setting; returns how many did.
    Where the kernel does not allow it (an ordinary user, Yama)
    they stay as they are, and bursts cost retransmissions.
    """
    pid = int((directory.ovs / "ovs-vswitchd.pid").read_text())
    own = _own_cpu()
    if own is not None:
        os.sched_setaffinity(pid, {own})
    process = os.pidfd_open(pid)
    try:
        return sum(_grow(process, int(fd.name)) for fd in Path(f"/proc/{pid}/fd").iterdir())
    finally:
        os.close(process)


def _grow(process: int, number: int) -> bool:
    """Grow the buffer of one descriptor of a process; whether it is a packet socket."""
    fd = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, number, 0)
    if fd < 0:
        return False
    try:
        ours = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)  # no socket
        return False
    with ours:
        if ours.family != socket.AF_PACKET:
            return False
        try:
            ours.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            return False  # an ordinary user's lab
    return True


def spread_command() -> str:
    """A shell command: who receives on interfaces made from now on in this namespace."""
    return f"echo {_mask()} 2> /dev/null > {_RPS} || true"


def spread() -> None:
    """The same for the namespace of this process."""
    with contextlib.suppress(OSError):
        _RPS.write_text(_mask())


def _mask() -> str:
    others = os.sched_getaffinity(0) - {_own_cpu()}
    return f"{sum(1 << cpu for cpu in others if cpu < _CPUS):x}"


def _own_cpu() -> int | None:
    """The CPU of this lab's vswitchd; labs beside each other differ, as their PID namespaces do."""
    cpus = sorted(os.sched_getaffinity(0))[:_CPUS]
    return cpus[_PID_NAMESPACE.stat().st_ino % len(cpus)] if len(cpus) > 1 else None
