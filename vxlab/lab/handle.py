"""A lab as seen from outside: find it, query it, see which components have failed, end it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vxlab.control import rpc
from vxlab.errors import LabError, UsageError
from vxlab.lab.enter import inside
from vxlab.system import sandbox
from vxlab.system.directory import LabDirectory
from vxlab.system.open_vswitch import database_alive, vswitchd_alive
from vxlab.system.programs import last_line
from vxlab.waiting import BUDGET_S


@dataclass(frozen=True)
class Lab:
    """One lab that was brought up, alive or not."""

    directory: LabDirectory
    state: dict[str, Any]

    @classmethod
    def at(cls, directory: LabDirectory) -> Lab:
        """The lab in a directory."""
        return cls(directory, directory.read_state())

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.directory.name

    @property
    def init(self) -> int:
        """The process id of the lab's first process, as seen from here; 0 if it has ended."""
        if inside(self.directory):
            return 1  # of the lab's own PID namespace
        file = self.directory.path / "init"
        if not file.exists() or not self.directory.alive():
            return 0
        pid, started = file.read_text().split()
        return int(pid) if _started(int(pid)) == started else 0

    def nodes(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The rows of `vxlab nodes`, of one kind if asked."""
        return [row for row in self.state["nodes"] if kind in (None, row["kind"])]

    def node(self, name: str) -> dict[str, Any]:
        """One node's row."""
        row: dict[str, Any]
        for row in self.state["nodes"]:
            if row["name"] == name:
                return row
        names = ", ".join(row["name"] for row in self.state["nodes"])
        raise UsageError(f"{name}: no such node in lab {self.name}; nodes: {names}")

    def links_down(self, node: str | None = None) -> list[str]:
        """Which links are down: the nodes at their other end, or "A B" for all of the lab."""
        found = []
        for link in self.state.get("links", []):
            if link["state"] == "down":
                ends = [link["node1"], link["node2"]]
                if node is None:
                    found.append(" ".join(ends))
                elif node in ends:
                    found.append(ends[ends[0] == node])
        return found

    def hypervisors(self, only: str | None = None) -> list[str]:
        """The names of the hypervisors; of one if asked."""
        names = [row["name"] for row in self.nodes("hypervisor")]
        if only is None:
            return names
        if only not in names:
            raise UsageError(
                f"{only}: no such hypervisor in lab {self.name}; hypervisors: {', '.join(names)}"
            )
        return [only]

    def health(self) -> Iterator[tuple[str, bool, Path]]:
        """Each component: its name, whether it runs, its log."""
        log = self.directory.log
        yield "ovsdb-server", database_alive(self.directory), log("ovsdb-server")
        yield "ovs-vswitchd", vswitchd_alive(self.directory), log("ovs-vswitchd")
        yield "controller", rpc.answers(self.directory.controller_socket), log("controller")
        for name in self.hypervisors():
            yield name, rpc.answers(self.directory.agent_socket(name)), log(name)

    def dead(self) -> list[str]:
        """A line for each component that has failed, with its log and the command that helps."""
        if not self.init:
            return [
                f"lab {self.name} is dead: {how_it_ended(self.directory)}; "
                f"`vxlab down {self.name}` removes it"
            ]
        return [
            f"{component} of lab {self.name} is dead (log: {log}); {self._fix(component)}"
            for component, runs, log in self.health()
            if not runs
        ]

    def _fix(self, component: str) -> str:
        if component == "ovsdb-server":
            return f"`vxlab down {self.name}` and a new `up` are needed"
        return f"`vxlab restart --lab {self.name} {component}` restarts it"

    def ask_agents(
        self, do: str, only: str | None = None, **arguments: Any
    ) -> tuple[list[tuple[str, Any]], list[str]]:
        """Query the agents; returns (pairs of hypervisor and answer, those that do not answer)."""
        found, dead = [], []
        for name in self.hypervisors(only):
            try:
                found.append((name, rpc.ask(self.directory.agent_socket(name), do, **arguments)))
            except rpc.Unreachable:
                dead.append(name)
        return found, dead

    def end(self) -> None:
        """End all processes of the lab and remove its directory; also when some were killed.

        UsageError inside the lab: there its first process cannot be ended.
        """
        if inside(self.directory):
            raise UsageError(f"lab {self.name}: this is a process of the lab; run it from outside")
        if init := self.init:
            _end(init, self.name)
        self.directory.remove()


def how_it_ended(directory: LabDirectory) -> str:
    """The cause of a lab's end, as far as it is known, with the log."""
    if error := directory.read_state().get("error"):
        return f"its start failed: {error}"
    log = directory.log("lab")
    return f"{sandbox.ending(directory.path)}; last output: {last_line(log)} (log: {log})"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks: a later process of the same number differs."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]


def remember_init(directory: LabDirectory, pid: int) -> None:
    """Record which process is the lab's first one."""
    (directory.path / "init").write_text(f"{pid} {_started(pid)}\n")


def _end(init: int, name: str) -> None:
    try:
        fd = os.pidfd_open(init)
    except ProcessLookupError:
        return
    with os.fdopen(fd) as handle:
        os.kill(init, signal.SIGKILL)  # the kernel ends the rest of its PID namespace
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(BUDGET_S["lab ends"] * 1000):
            raise LabError(f"lab {name}: process {init} does not end")


def labs() -> list[Lab]:
    """All labs that were brought up and not taken down, dead ones too."""
    return [Lab.at(directory) for directory in LabDirectory.all()]


def find(name: str | None) -> Lab:
    """The lab of that name, or the only one; UsageError lists those there are."""
    name = name or os.environ.get("VXLAB_LAB")
    known = labs()
    if name is None and len(known) == 1:
        return known[0]
    for lab in known:
        if lab.name == name:
            return lab
    names = ", ".join(lab.name for lab in known)
    if name is not None:
        raise UsageError(
            f"lab {name}: no such lab; " + (f"labs: {names}" if names else "no lab runs")
        )
    if not known:
        raise UsageError("no lab runs; `vxlab up three_vteps -d` brings one up")
    raise UsageError(f"several labs run; choose one with --lab or VXLAB_LAB: {names}")
