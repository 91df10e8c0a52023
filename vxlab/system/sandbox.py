"""The sandbox of a lab: its own namespaces, with a first process that reaps the others.

    vxlab ── keeper ─┬─ init (PID 1 of the lab) ── the lab's main process ── everything else
                     └ leaves when the lab is detached
When PID 1 ends, for whatever reason, the kernel ends all others, and only files remain. An
ordinary user gets a user namespace as well. Root does not need one, and without it kernel modules
and eBPF can be used.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from vxlab.errors import LabError
from vxlab.system import namespaces as ns

_SPACES = ns.CLONE_NEWNET | ns.CLONE_NEWNS | ns.CLONE_NEWPID | ns.CLONE_NEWIPC | ns.CLONE_NEWUTS

_ENDING = "ending"  # file in the lab's directory with the main process's exit code
RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def start(main: Callable[[], int], keep: Path, detached: bool, log: Path | None) -> tuple[int, int]:
    """Run `main` as the main process of a new sandbox; returns (keeper's pid, init's pid).

    keep: the lab's directory, which stays visible inside although /run is replaced; `ending` reads
    there how the main process ended.
    detached: whether the sandbox outlives its starter; otherwise it ends with it.
    log: where its output goes; None leaves it the terminal.
    LabError if the kernel does not allow a sandbox.
    """
    read_end, write_end = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(read_end)
        _guarded(lambda: _keep(main, keep, detached, log, write_end))
    os.close(write_end)
    with os.fdopen(read_end, "r") as pipe:
        answer = pipe.readline().strip()
    if not answer.isdigit():
        os.waitpid(keeper, 0)
        said = f" (log: {log})" if log else ""
        raise LabError(answer or f"cannot start the sandbox of the lab{said}")
    return keeper, int(answer)


def _leave_terminal(log: Path) -> None:
    """Replace the starter's terminal or pipe, whose reader would wait until the lab ends."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)


def _guarded(body: Callable[[], int]) -> None:
    """Run body in a forked child and never return from it."""
    status = 1
    for number in (signal.SIGHUP, signal.SIGTERM):
        if callable(signal.getsignal(number)):  # the starter's, which would run its cleaning up
            signal.signal(number, signal.SIG_DFL)
    try:
        status = body()
    except BaseException:  # a fork must never continue with its parent's code
        traceback.print_exc()
    finally:
        os._exit(status)


def _keep(
    main: Callable[[], int], keep: Path, detached: bool, log: Path | None, report: int
) -> int:
    if log is not None:
        _leave_terminal(log)
    if detached:
        os.setsid()
    else:
        ns.die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _leave_the_root_namespaces()
    except OSError as error:
        os.write(report, _why_not(error).encode())
        return 1
    init = os.fork()
    if init == 0:
        os.close(report)
        _guarded(lambda: _init(main, keep, detached))
    os.write(report, f"{init}\n".encode())
    os.close(report)
    if detached:
        return 0
    _, status = os.waitpid(init, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def _leave_the_root_namespaces() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        ns.unshare(_SPACES)
        return
    ns.unshare(ns.CLONE_NEWUSER | _SPACES)
    ns.map_to_root(uid, gid)
    ns.stay_visible()


def _why_not(error: OSError) -> str:
    """One line that names the setting which forbids user namespaces, and how to change it."""
    if os.geteuid() != 0 and RESTRICTED.exists() and RESTRICTED.read_text().strip() == "1":
        return (
            "this kernel's AppArmor forbids user namespaces to ordinary users: run as root, or "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    return f"no namespaces for the lab: {error.strerror}; run as root, or see `vxlab doctor`"


def _init(main: Callable[[], int], keep: Path, detached: bool) -> int:
    """PID 1: make the mounts, start the main process, reap, and end when the main process does."""
    if not detached:
        ns.die_with_parent(signal.SIGKILL)
    ns.stay_visible()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _mount_own(keep)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _guarded(main)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):  # the directory is removed when the lab is ended
                (keep / _ENDING).write_text(f"{code}\n")
            return code & 0xFF


def _mount_own(keep: Path) -> None:
    """Mount a /proc of this PID namespace, and a /run of its own with the lab's directory."""
    ns.mount("none", "/", None, ns.MS_REC | ns.MS_PRIVATE)
    ns.mount("proc", "/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    held = os.open(keep, os.O_PATH)
    ns.mount("tmpfs", "/run", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV)
    Path("/run/netns").mkdir()
    if Path("/run") in keep.parents:
        keep.mkdir(parents=True)
        ns.mount(f"/proc/self/fd/{held}", str(keep), None, ns.MS_BIND)
    os.close(held)


def ending(keep: Path) -> str:
    """How a sandbox came to its end, as a clause of a sentence.

    keep: what was given to `start`.
    """
    try:
        code = int((keep / _ENDING).read_text())
    except (OSError, ValueError):
        return "its first process was killed"
    if code < 0:
        return f"its main process was killed by {signal.Signals(-code).name}"
    return f"its main process ended with status {code}"


def name_namespace(name: str, pid: int) -> None:
    """Let `ip netns` and `vxlab exec` find the network namespace of a process by a name."""
    target = Path("/run/netns") / name
    target.touch()
    ns.mount(f"/proc/{pid}/ns/net", str(target), None, ns.MS_BIND)
