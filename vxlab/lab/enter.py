"""Enter a running lab from outside: one of its nodes, or the namespace of its switches."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from vxlab.console import terminal_restored
from vxlab.errors import LabError
from vxlab.system import namespaces as ns
from vxlab.system.directory import LabDirectory, keep_base_directory
from vxlab.system.open_vswitch import environment

_WHOLE = ("mnt", "pid", "net", "ipc", "uts")
SWITCH_KINDS = ("bridge", "switch")


def inside(directory: LabDirectory) -> bool:
    """Whether this process runs in the lab (in its Mininet CLI, in a shell of a node)."""
    return os.environ.get("VXLAB_DIR") == str(directory.path)


def _open_space(init: int, kind: str) -> int:
    try:
        return os.open(f"/proc/{init}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LabError(f"the lab's first process {init}: {error.strerror}") from error


def _enter_user_namespace(init: int) -> None:
    """Become the lab's root, if the lab has a user namespace.

    The kernel refuses this to a process with several threads. The base directory of labs stays
    that of the user, for this process and its children.
    """
    theirs, ours = f"/proc/{init}/ns/user", "/proc/self/ns/user"
    if os.readlink(theirs) != os.readlink(ours):
        keep_base_directory()
        fd = _open_space(init, "user")
        ns.setns(fd, ns.CLONE_NEWUSER)
        os.close(fd)


def _node_space(root: Path, name: str, kind: str) -> Path | None:
    """The file of a node's network namespace; None for switches, which have the lab's own."""
    return None if kind in SWITCH_KINDS else root / "run" / "netns" / name


def become_observer(directory: LabDirectory, init: int) -> None:
    """Take the rights to open sockets in the lab's nodes, keeping this process's own files."""
    if not inside(directory):
        _enter_user_namespace(init)


def enter_network(directory: LabDirectory, init: int, name: str, kind: str) -> None:
    """Change only this process's network namespace to a node's; become_observer comes first."""
    root = Path("/") if inside(directory) else Path(f"/proc/{init}/root")
    space = _node_space(root, name, kind) or (root / "run" / "netns" / "@lab")
    fd = os.open(space, os.O_RDONLY | os.O_CLOEXEC)
    ns.setns(fd, ns.CLONE_NEWNET)
    os.close(fd)


def enter_node(directory: LabDirectory, init: int, name: str, kind: str) -> None:
    """Enter all namespaces of a node; children of this process then live in the lab."""
    here = os.getcwd()
    if not inside(directory):
        spaces = [_open_space(init, kind_) for kind_ in _WHOLE]
        _enter_user_namespace(init)
        for fd in spaces:
            ns.setns(fd)
            os.close(fd)
    space = _node_space(Path("/"), name, kind)
    if space is not None:
        fd = os.open(space, os.O_RDONLY | os.O_CLOEXEC)
        ns.setns(fd, ns.CLONE_NEWNET)
        os.close(fd)
    os.chdir(here if os.path.isdir(here) else "/")


def execute(
    directory: LabDirectory,
    init: int,
    name: str,
    kind: str,
    command: list[str],
    environment: Mapping[str, str] | None = None,
    job: bool = False,
) -> int:
    """Run a command in a node on this terminal; returns its exit status as a shell does.

    environment: variables for the command, beside those of every process of a lab.
    job: give the command a foreground process group of its own. An interactive shell wants to
    restore at its end the group it found, and cannot if that is of another PID namespace.
    """
    enter_node(directory, init, name, kind)
    os.environ.update({**child_environment(directory), **(environment or {})})
    # Before the fork: a Ctrl-C in between must not end us while the command runs on.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with terminal_restored():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, before)
            if job and os.isatty(0):
                _take_foreground()
            _become(command)
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def child_environment(directory: LabDirectory) -> dict[str, str]:
    """The variables that every process of a lab has."""
    return {
        "VXLAB_LAB": directory.name,
        "VXLAB_DIR": str(directory.path),
        **environment(directory),
    }


def _take_foreground() -> None:
    os.setpgid(0, 0)
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # else the kernel stops us here
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, before)


def _become(command: list[str]) -> NoReturn:
    ns.die_with_parent(signal.SIGKILL)
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        reason = "command not found; nodes have the commands of this machine"
        os.write(2, f"vxlab: {command[0]}: {reason}\n".encode())
        os._exit(127)
    except OSError as error:
        os.write(2, f"vxlab: {command[0]}: {error.strerror}\n".encode())
        os._exit(126)
