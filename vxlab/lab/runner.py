"""The main process of a lab: bring it up step by step, serve, and end.

It runs inside the sandbox. Progress and failure go to the starter as JSON lines over a socket;
later requests (restart a component, move a VM) come in over the lab's own control socket.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mininet.log import setLogLevel

from vxlab.control.server import serve
from vxlab.errors import LabError
from vxlab.lab import readiness
from vxlab.lab.components import Components
from vxlab.lab.enter import child_environment
from vxlab.lab.links import Links, of_mininet
from vxlab.lab.mininet_cli import CliServer
from vxlab.lab.net import LabNet
from vxlab.lab.operations import Operations
from vxlab.nodes.links import raise_up
from vxlab.system import vswitchd_tuning
from vxlab.system.directory import LabDirectory
from vxlab.system.open_vswitch import OpenVSwitch
from vxlab.system.sandbox import name_namespace
from vxlab.topology.fabric import dpid, peers
from vxlab.topology.overlay import OverlayTopo
from vxlab.waiting import BUDGET_S, await_condition, time_limit

LAB_NAMESPACE = "@lab"

Step = tuple[str, Callable[[], None]]  # what it does, for progress and errors; the function


@dataclass(frozen=True)
class LabSpec:
    """What to bring up, and how."""

    directory: LabDirectory
    topology: str
    topo: OverlayTopo
    options: dict[str, str]
    ovs_datapath: str  # "kernel" or "user"
    terminal: tuple[int, ...] = ()  # descriptors of the Mininet CLI's terminal; () for no CLI


class LabRunner:
    """Runs one lab, from the first step to the end."""

    def __init__(self, spec: LabSpec, starter: socket.socket) -> None:
        """starter: receives the progress."""
        self.spec = spec
        self.directory = spec.directory
        self.topo = spec.topo
        self._starter = starter
        self._components = Components(spec.directory)
        self._open_vswitch = OpenVSwitch(spec.directory)
        self._links = Links()
        self._net = LabNet(spec.topo, spec.ovs_datapath, self._links)
        self._created_s = time.time()

    def run(self) -> int:
        """Bring the lab up, serve until it ends; returns the exit status of the lab."""
        # Ctrl-C is handled by the starter. A handler, since children would inherit "ignored".
        signal.signal(signal.SIGINT, lambda *_: None)
        try:
            self._bring_up()
        except Exception as error:
            message = self._failure(error)
            self._write_state("failed", error=message)
            self._report(error=message)
            if isinstance(error, LabError):
                return 1
            raise
        cli = CliServer(self.directory.cli_socket)
        self._write_state("ready")
        self._report(ready=True)
        if self.spec.terminal:
            self._run_mininet_cli(cli)
        else:
            cli.serve(self._net)  # until the sandbox is ended
        return 0

    def _run_mininet_cli(self, cli: CliServer) -> None:
        self._starter.recv(1)  # the starter no longer uses the terminal
        sys.stdout.flush()
        sys.stderr.flush()
        for place, descriptor in enumerate(self.spec.terminal):
            os.dup2(descriptor, place)
        cli.run_here(self._net)

    def _report(self, **message: Any) -> None:
        try:
            self._starter.sendall((json.dumps(message) + "\n").encode())
        except OSError:
            pass  # a detached lab keeps running when its starter has ended

    def _failure(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        if isinstance(error, LabError):
            return text
        log = self.directory.log("lab")  # has the traceback
        return f"unexpected {type(error).__name__}: {text or 'no message'} (log: {log})"

    # -- bringing it up

    def steps(self) -> tuple[Step, ...]:
        """All steps, in order. What takes long to import is started before it is needed."""
        return (
            ("prepare the namespace of the switches", self._prepare_namespace),
            ("start the fork server of the agents", self._components.start_forkserver),
            ("start Open vSwitch", self._open_vswitch.start),
            ("start the controller", self._components.start_controller),
            ("create nodes and links", self._create_nodes),
            ("start VTEP agents", self._start_agents),
            ("wait for the controller", self._components.await_controller),
            ("start switches", self._start_switches),
            ("wait for switches", self._await_switches),
            ("wait for VTEP agents", self._await_agents),
            ("wait for groups", self._await_groups),
            ("wait for addresses", self._await_addresses),
        )

    def _bring_up(self) -> None:
        os.environ.update(child_environment(self.directory))
        setLogLevel("error")
        self._write_state("starting")
        steps = self.steps()
        for number, (name, step) in enumerate(steps, start=1):
            self._report(step=name, number=number, of=len(steps))
            what = f"lab {self.directory.name}: the step '{name}'"
            hint = f" (logs: {self.directory.log('lab').parent})"
            with time_limit(self._step_limit_s(), what, hint):
                step()

    def _step_limit_s(self) -> float:
        nodes = len(self.topo.nodes())
        return BUDGET_S["bring-up step"] + BUDGET_S["bring-up step, for each node"] * nodes

    def _prepare_namespace(self) -> None:
        for which in ("all", "default"):  # or the switches' own ports send router solicitations
            Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
        raise_up("lo")
        if self.spec.ovs_datapath == "user":
            vswitchd_tuning.receive_on_other_cpus()

    def _create_nodes(self) -> None:
        self._net.build()
        name_namespace(LAB_NAMESPACE, os.getpid())
        for host in self._net.hosts:
            name_namespace(host.name, host.pid)
        self._links.links = of_mininet(self._net.links)

    def _start_agents(self) -> None:
        offload = (
            self.spec.ovs_datapath == "kernel"
        )  # the userspace one does not support super-frames of tunnels
        for name, hypervisor in self.topo.hypervisors.items():
            config = hypervisor.agent_config(str(self.directory.agent_socket(name)), offload)
            namespace = f"/proc/{self._net[name].pid}/ns/net"
            self._components.start_agent(name, hypervisor.kind, config, namespace)

    def _start_switches(self) -> None:
        self._net.start()
        operations = Operations(
            self.topo, self._components, self._open_vswitch, self._links, self._write_state
        )
        serve(self.directory.socket, operations.table())

    def _await_switches(self) -> None:
        condition = readiness.switches_connected(self.directory, self.topo)
        await_condition(condition, "switches connected")
        if self.spec.ovs_datapath == "user":
            vswitchd_tuning.pin_and_grow_buffers(self.directory)

    def _await_agents(self) -> None:
        await_condition(readiness.agents_ready(self._components, self.topo), "agents ready")

    def _await_groups(self) -> None:
        condition = readiness.groups_joined(self.directory, self.topo)
        await_condition(condition, "groups joined and snooped")

    def _await_addresses(self) -> None:
        condition = readiness.addresses_learned(self.directory, self.topo)
        await_condition(condition, "addresses learned")

    # -- its description

    def _write_state(self, state: str, **more: Any) -> None:
        self.directory.write_state(
            {
                "name": self.directory.name,
                "topology": self.spec.topology,
                "options": self.spec.options,
                "state": state,
                "created_s": self._created_s,
                "datapath": self.spec.ovs_datapath,
                "underlay": self.topo.family.name,
                "nodes": list(self.topo.rows()),
                "links": self._links.recorded(),
                "dpids": {dpid(self.topo, name): name for name in self.topo.underlay_switches},
                "peers": peers(self.topo),
                "segments": {vni: segment.group for vni, segment in self.topo.segments.items()},
                **more,
            }
        )
