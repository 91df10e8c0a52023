"""A lab's directory: its sockets, logs and state, and the lock that shows whether it is alive.

BASE/NAME/  lab.json   what the lab is (written by its first process only)
            lock       held by the lab's processes
            lab.sock   the lab's own control socket
            controller.sock   agents/HV.toml, HV.sock   ovs/   log/
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vxlab.errors import LabError, UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")


def base_directory() -> Path:
    """Where labs are: $VXLAB_BASE, /run/vxlab for root, else the user's own runtime directory.

    A process that enters the user namespace of a lab becomes root there; it sets VXLAB_BASE before
    (`keep_base_directory`), so that its children look where the user's labs are.
    """
    inside = os.environ.get("VXLAB_DIR")
    if inside:
        return Path(inside).parent
    if chosen := os.environ.get("VXLAB_BASE"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/run/vxlab")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "vxlab"
    return Path(tempfile.gettempdir()) / f"vxlab-{os.getuid()}"


def keep_base_directory() -> None:
    """Fix the base directory for this process and its children, whoever they become."""
    os.environ["VXLAB_BASE"] = str(base_directory())


def _private(path: Path) -> None:
    """Make path a directory that only this user can write to: others could plant links in it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise LabError(
            f"{path}: is not a directory that belongs to you; remove it, or set VXLAB_BASE"
        )


@dataclass(frozen=True)
class LabDirectory:
    """The files of one lab. Making this object touches none of them."""

    path: Path

    @classmethod
    def named(cls, name: str) -> LabDirectory:
        """The directory of the lab of that name; UsageError if the name is invalid."""
        if not NAME.fullmatch(name):
            raise UsageError(
                f"lab name {name!r}: must be at most 31 lower-case letters, digits, - and _, "
                "and start with a letter or digit"
            )
        return cls(base_directory() / name)

    @classmethod
    def for_plain_mininet(cls) -> LabDirectory:
        """The directory of the nodes that this process, plain `mn`, builds."""
        directory = cls(Path(tempfile.gettempdir()) / f"vxlab-mn-{os.getpid()}")
        directory.make_folders()
        return directory

    @classmethod
    def all(cls) -> list[LabDirectory]:
        """The directories of all labs, dead or alive, sorted by name."""
        base = base_directory()
        try:
            return [cls(path) for path in sorted(base.iterdir()) if (path / "lock").exists()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LabError(f"{base}: {error.strerror}; set VXLAB_BASE to a directory") from None

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.path.name

    @property
    def ovs(self) -> Path:
        """Run directory of the lab's Open vSwitch."""
        return self.path / "ovs"

    @property
    def socket(self) -> Path:
        """The lab's own control socket."""
        return self.path / "lab.sock"

    @property
    def cli_socket(self) -> Path:
        """The socket of the lab's Mininet CLI."""
        return self.path / "cli.sock"

    @property
    def controller_socket(self) -> Path:
        """The controller's control socket."""
        return self.path / "controller.sock"

    @property
    def forkserver_socket(self) -> Path:
        """The socket of the process that forks the agents."""
        return self.path / "forkserver.sock"

    def agent_socket(self, hypervisor: str) -> Path:
        """The control socket of a hypervisor's agent."""
        return self.path / "agents" / f"{hypervisor}.sock"

    def agent_config(self, hypervisor: str) -> Path:
        """The configuration file of a hypervisor's agent."""
        return self.path / "agents" / f"{hypervisor}.toml"

    def log(self, component: str) -> Path:
        """The log of a component."""
        return self.path / "log" / f"{component}.log"

    def make_folders(self) -> None:
        """Make the directory and its folders, accessible to this user only."""
        _private(self.path)
        for folder in ("agents", "log", "ovs"):
            (self.path / folder).mkdir(mode=0o700, exist_ok=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)

    def claim(self) -> int:
        """Take the lock for a new lab and remove what a dead one left; returns its descriptor.

        LabError if a lab of this name is alive. The kernel releases the lock when the last process
        that has inherited the descriptor ends.
        """
        _private(self.path.parent)
        _private(self.path)
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise LabError(
                f"lab {self.name}: runs already; `vxlab down {self.name}` ends it, "
                "`--name OTHER` starts a second one"
            ) from None
        for path in self.path.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.make_folders()
        return fd

    def alive(self) -> bool:
        """Whether some process of the lab still holds its lock."""
        try:
            fd = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace lab.json in one step."""
        fresh = self.path / "lab.json.new"
        fresh.write_text(json.dumps(state, indent=1))
        fresh.replace(self.path / "lab.json")

    def read_state(self) -> dict[str, Any]:
        """The content of lab.json; that of a failed lab if it was not written."""
        try:
            state: dict[str, Any] = json.loads((self.path / "lab.json").read_text())
            return state
        except (FileNotFoundError, json.JSONDecodeError):
            return {
                "name": self.name,
                "topology": None,
                "state": "failed",
                "nodes": [],
                "links": [],
            }
