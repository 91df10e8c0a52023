"""What lets Open vSwitch's userspace datapath carry more: bigger queues, and a CPU of its own.

One thread of vswitchd forwards every frame of a lab. A super-frame that a tunnel cuts into forty
packets overruns the default buffers of its sockets. The receive processing of all virtual links
would run in that thread's time, too. So the thread is pinned to one CPU, and the kernel does the
receive processing on the others (receive packet steering, RPS).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from pathlib import Path

from vxlab.system.directory import LabDirectory

_BUFFER = 4 << 20  # bytes for each port
_SO_RCVBUFFORCE = 33
_PIDFD_GETFD = 438  # system call number, the same on all architectures
_RPS = Path("/proc/sys/net/core/rps_default_mask")  # of this network namespace, since Linux 6.4
_CPUS = 32  # of one word of the mask; a lab has no use for more
_PID_NAMESPACE = Path("/proc/self/ns/pid")


def pin_and_grow_buffers(directory: LabDirectory) -> int:
    """Pin the forwarding thread of a lab's vswitchd, its first, and grow its sockets' buffers.

    vswitchd has no setting for the buffers. Returns how many were grown; where the kernel does not
    allow it (an ordinary user, Yama) they keep their size, and bursts cost retransmissions.
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
    """Grow the buffer of one descriptor of a process; returns whether it was a packet socket."""
    fd = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, number, 0)
    if fd < 0:
        return False
    try:
        ours = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)  # not a socket
        return False
    with ours:
        if ours.family != socket.AF_PACKET:
            return False
        try:
            ours.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            return False  # an ordinary user's lab
    return True


def receive_command() -> str:
    """A shell command: other CPUs receive for interfaces made from now on in its namespace."""
    return f"echo {_mask()} 2> /dev/null > {_RPS} || true"


def receive_on_other_cpus() -> None:
    """Do the same in the namespace of this process."""
    with contextlib.suppress(OSError):
        _RPS.write_text(_mask())


def _mask() -> str:
    others = os.sched_getaffinity(0) - {_own_cpu()}
    return f"{sum(1 << cpu for cpu in others if cpu < _CPUS):x}"


def _own_cpu() -> int | None:
    """The CPU of this lab's vswitchd, chosen by its PID namespace so that two labs differ."""
    cpus = sorted(os.sched_getaffinity(0))[:_CPUS]
    return cpus[_PID_NAMESPACE.stat().st_ino % len(cpus)] if len(cpus) > 1 else None
