"""The processes of a lab beside Mininet's own: agents, their fork server, the controller.

Each has a log and a control socket in the lab's directory. Whether one lives is asked of its
socket, never of a process list.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.system.directory import LabDirectory
from vxlab.vteps.kinds import VtepKind
from vxlab.waiting import await_condition

CONTROLLER_PORT = 6653
CHECKOUT = Path(__file__).resolve().parents[2]


def python() -> str:
    """The Python that has our dependencies: this one, or the checkout's under plain `mn`."""
    if importlib.util.find_spec("scapy"):
        return sys.executable
    path = CHECKOUT / ".venv" / "bin" / "python"
    if not path.exists():
        raise LabError(f"{path}: missing; `make setup` makes it")
    return str(path)


class Parts:
    """Starts, stops and restarts the parts of one lab."""

    def __init__(self, directory: LabDirectory) -> None:
        self.directory = directory
        self._controller: subprocess.Popen[bytes] | None = None
        self._forkserver: subprocess.Popen[bytes] | None = None
        self._agents: dict[str, tuple[VtepKind, str]] = {}  # kind, and its network namespace

    def _spawn(self, part: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of our modules in a session of its own, its output in the part's log."""
        return self._run(part, [python(), "-m", *arguments])

    def _run(self, part: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self.directory.log(part).open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # `-m` searches the current directory first, where a user may have a `controller/`.
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            )

    def _waiting_for(
        self, part: str, process: subprocess.Popen[bytes], up: Callable[[], bool]
    ) -> Callable[[], str | None]:
        """A condition for await_condition that fails at once when the process has ended."""

        def unmet() -> str | None:
            if up():
                return None
            if process.poll() is not None:
                raise LabError(f"{part} ended: {last_line(self.directory.log(part))}")
            return f"{part} does not answer yet (log: {self.directory.log(part)})"

        return unmet

    # -- the controller

    def start_controller(self) -> None:
        """Start the controller; await_controller waits for it."""
        self._controller = self._spawn(
            "controller",
            "controller",
            "--listen",
            f"127.0.0.1:{CONTROLLER_PORT}",
            "--control",
            str(self.directory.controller_socket),
        )

    def await_controller(self) -> None:
        """Wait until the controller listens for switches."""
        if self._controller is None:
            raise LabError("controller: not started")
        up = self._waiting_for(
            "controller", self._controller, lambda: rpc.answers(self.directory.controller_socket)
        )
        await_condition(up, "controller listens")

    def stop_controller(self) -> None:
        """End the controller, if it runs."""
        if self._controller is not None:
            self._controller.kill()
            self._controller.wait()
            self._controller = None

    def restart_controller(self) -> None:
        """End and start the controller again."""
        self.stop_controller()
        self.start_controller()
        self.await_controller()

    # -- the agents

    def start_forkserver(self) -> None:
        """Start the process that forks the agents, unless it runs."""
        if self._forkserver is None or self._forkserver.poll() is not None:
            socket = self.directory.forkserver_socket
            self._forkserver = self._spawn("forkserver", "vtep.forkserver", "--socket", str(socket))

    def _await_forkserver(self) -> None:
        self.start_forkserver()
        assert self._forkserver is not None
        up = self._waiting_for(
            "forkserver", self._forkserver, lambda: rpc.answers(self.directory.forkserver_socket)
        )
        await_condition(up, "fork server ready")

    def start_agent(
        self, name: str, kind: VtepKind, render: Callable[[str], str], namespace: str
    ) -> None:
        """Write the configuration of hypervisor `name`'s VTEP and start it in its namespace."""
        config = self.directory.agent_config(name)
        config.write_text(render(str(self.directory.agent_socket(name))))
        self._agents[name] = kind, namespace
        self._launch(name)

    def _launch(self, name: str) -> None:
        kind, namespace = self._agents[name]
        if kind.name == "python":
            self._fork(name, namespace)
        else:
            self._spawn_inside(name, kind.module, namespace)

    def _spawn_inside(self, name: str, module: str, namespace: str) -> None:
        command = ["nsenter", f"--net={namespace}", python(), "-m", module]
        self._run(name, [*command, "--config", str(self.directory.agent_config(name))])

    def _fork(self, name: str, namespace: str) -> None:
        self._await_forkserver()
        rpc.ask(
            self.directory.forkserver_socket,
            "spawn",
            config=str(self.directory.agent_config(name)),
            netns=namespace,
            log=str(self.directory.log(name)),
        )

    def stop_agent(self, name: str) -> None:
        """Ask an agent to leave its groups and end; it may be dead already."""
        socket = self.directory.agent_socket(name)
        try:
            rpc.ask(socket, "stop")
        except rpc.Unreachable:
            return
        await_condition(
            lambda: f"agent of {name} still answers" if rpc.answers(socket) else None,
            "socket answers",
        )

    def restart_agent(self, name: str) -> None:
        """End and start a hypervisor's agent again, with the configuration it had."""
        self.stop_agent(name)
        self._launch(name)
        await_condition(lambda: self.agent_missing(name), "agents ready")

    def agent_missing(self, name: str) -> str | None:
        """None if the agent is ready, else what is missing; LabError once it has given up."""
        try:
            rpc.ask(self.directory.agent_socket(name), "ready")
        except rpc.Unreachable:
            line = last_line(self.directory.log(name))
            if line.startswith("vtep: error"):
                raise LabError(f"{name}: {line} (log: {self.directory.log(name)})") from None
            return f"{name}: agent not ready (log: {self.directory.log(name)})"
        return None


def last_line(log: Path) -> str:
    """The last line of a log, for an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return f"{lines[-1] if lines else 'no output'}"
