"""The processes of a lab that are not Mininet's: agents, their fork server, the controller.

Each has a log and a control socket in the lab's directory. Whether one is alive is asked of its
socket; a list of processes would not show whether it answers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.nodes.controllers import CONTROLLER_PORT
from vxlab.system import programs
from vxlab.system.directory import LabDirectory
from vxlab.vteps.kind import VtepKind
from vxlab.waiting import await_condition


class Components:
    """Starts, stops and restarts the components of one lab."""

    def __init__(self, directory: LabDirectory) -> None:
        self.directory = directory
        self._controller: subprocess.Popen[bytes] | None = None
        self._forkserver: subprocess.Popen[bytes] | None = None
        self._agents: dict[str, tuple[VtepKind, str]] = {}  # kind, and its network namespace

    def _spawn(self, component: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of our modules, its output in the component's log."""
        return programs.spawn(programs.module(module, *arguments), self.directory.log(component))

    def _waiting_for(
        self, component: str, process: subprocess.Popen[bytes], up: Callable[[], bool]
    ) -> Callable[[], str | None]:
        """A condition for await_condition that fails at once when the process has ended."""

        def unmet() -> str | None:
            if up():
                return None
            log = self.directory.log(component)
            if process.poll() is not None:
                raise LabError(f"{component} ended: {programs.last_line(log)} (log: {log})")
            return f"{component} does not answer yet (log: {log})"

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

    def start_agent(self, name: str, kind: VtepKind, config: str, namespace: str) -> None:
        """Write the configuration of hypervisor `name`'s VTEP and start it in its namespace.

        config: the text of its TOML file. namespace: the path of the network namespace's file.
        """
        self.directory.agent_config(name).write_text(config)
        self._agents[name] = kind, namespace
        self._launch(name)

    def _launch(self, name: str) -> None:
        kind, namespace = self._agents[name]
        if kind.forkable:
            self._fork(name, namespace)
        else:
            self._spawn_inside(name, kind.module, namespace)

    def _spawn_inside(self, name: str, module: str, namespace: str) -> None:
        command = programs.module(module, "--config", str(self.directory.agent_config(name)))
        programs.spawn(["nsenter", f"--net={namespace}", *command], self.directory.log(name))

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
        """Ask an agent to leave its groups and end; nothing happens if it is dead already."""
        socket = self.directory.agent_socket(name)
        try:
            rpc.ask(socket, "stop")
        except rpc.Unreachable:
            return
        await_condition(
            lambda: f"agent of {name} still answers" if rpc.answers(socket) else None,
            "process ends",
        )

    def restart_agent(self, name: str) -> None:
        """End and start a hypervisor's agent again, with the configuration it had."""
        self.stop_agent(name)
        self._launch(name)
        await_condition(lambda: self.agent_missing(name), "agents ready")

    def agent_missing(self, name: str) -> str | None:
        """None if the agent is ready, else what is missing; LabError if it has failed."""
        try:
            rpc.ask(self.directory.agent_socket(name), "ready")
        except rpc.Unreachable:
            line = programs.last_line(self.directory.log(name))
            if line.startswith("vtep: error"):
                raise LabError(f"{name}: {line} (log: {self.directory.log(name)})") from None
            return f"{name}: agent not ready (log: {self.directory.log(name)})"
        return None
