"""Go into a running lab from outside: one of its nodes, or its switches' namespace."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from vxlab.errors import LabError
from vxlab.system import namespaces as ns
from vxlab.system.directory import LabDirectory, keep_base_directory
from vxlab.system.open_vswitch import environment

_WHOLE = ("mnt", "pid", "net", "ipc", "uts")
SWITCH_KINDS = ("bridge", "switch")


def _inside(directory: LabDirectory) -> bool:
    """Whether this process is in the lab already (its Mininet CLI, a node's shell)."""
    return os.environ.get("VXLAB_DIR") == str(directory.path)


def _open_space(init: int, kind: str) -> int:
    try:
        return os.open(f"/proc/{init}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LabError(f"the lab's first process {init}: {error.strerror}") from error


def _enter_user_namespace(init: int) -> None:
    """Become the lab's root, if the lab has a user namespace; only a single thread may.

    The base directory of labs stays that of the user, for this process and its children.
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
    if not _inside(directory):
        _enter_user_namespace(init)


def enter_network(directory: LabDirectory, init: int, name: str, kind: str) -> None:
    """Change only this process's network namespace to a node's; become_observer comes first."""
    root = Path("/") if _inside(directory) else Path(f"/proc/{init}/root")
    space = _node_space(root, name, kind) or (root / "run" / "netns" / "@lab")
    fd = os.open(space, os.O_RDONLY | os.O_CLOEXEC)
    ns.setns(fd, ns.CLONE_NEWNET)
    os.close(fd)


def enter_node(directory: LabDirectory, init: int, name: str, kind: str) -> None:
    """Enter all namespaces of a node; children of this process then live in the lab."""
    here = os.getcwd()
    if not _inside(directory):
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


def execute(directory: LabDirectory, init: int, name: str, kind: str, command: list[str]) -> int:
    """Run a command in a node on this terminal; returns its exit status as a shell does."""
    enter_node(directory, init, name, kind)
    os.environ.update(child_environment(directory))
    child = os.fork()
    if child == 0:
        _become(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def child_environment(directory: LabDirectory) -> dict[str, str]:
    """What every process of a lab carries."""
    return {
        "VXLAB_LAB": directory.name,
        "VXLAB_DIR": str(directory.path),
        **environment(directory),
    }


def _become(command: list[str]) -> None:
    ns.die_with_parent(signal.SIGKILL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"vxlab: {command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)
