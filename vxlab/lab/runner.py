"""A lab's life, seen from its main process: build, wait until it is true, serve, end.

Runs inside the sandbox. Progress and failure go to the starter as JSON lines over a socket; what
comes later (restart a part, move a VM, end) comes in over the lab's own control socket.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mininet.log import setLogLevel
from mininet.net import Mininet

from vxlab.control import rpc
from vxlab.control.server import serve
from vxlab.errors import LabError
from vxlab.lab.components import Parts
from vxlab.lab.enter import child_environment
from vxlab.lab.groups import not_joined
from vxlab.lab.links import Links, of_mininet
from vxlab.lab.mininet_cli import CliServer, set_link
from vxlab.lab.operations import Operations
from vxlab.nodes.nodes import UnderlayController, use_parts
from vxlab.system import userspace
from vxlab.system.directory import LabDirectory
from vxlab.system.open_vswitch import OpenVSwitch
from vxlab.system.sandbox import name_namespace
from vxlab.topology.fabric import dpid, expected_snooping, peers
from vxlab.topology.families import mac_of
from vxlab.topology.overlay import OverlayTopo
from vxlab.waiting import await_condition

LAB_NAMESPACE = "@lab"


@dataclass(frozen=True)
class Order:
    """What to bring up, and how."""

    directory: LabDirectory
    topology: str
    topo: OverlayTopo
    options: dict[str, str]
    datapath: str
    interactive: bool


class LabNet(Mininet):
    """Mininet whose `pingall` stays within each VNI, and whose `link` is the lab's own.

    VMs of different VNIs must not reach each other.
    """

    lab_links: Links

    def configLinkStatus(self, src: str, dst: str, status: str) -> None:  # the name is Mininet's
        """Set the links between two nodes up or down, as `vxlab link` does."""
        set_link(self.lab_links, src, dst, status)

    def pingAll(self, timeout: Any = None) -> float:  # the name is Mininet's
        """Ping between all VMs of each VNI; returns the worst loss in percent."""
        by_vni: dict[int, list[Any]] = {}
        for vm in self.topo.vms.values():
            by_vni.setdefault(vm.segment.vni, []).append(self[vm.name])
        return max(
            (self.ping(hosts=hosts, timeout=timeout) for hosts in by_vni.values()), default=0.0
        )


class Life:
    """The main process of one lab."""

    def __init__(self, order: Order, starter: socket.socket) -> None:
        self.order = order
        self.directory = order.directory
        self.topo = order.topo
        self._starter = starter
        self._parts = Parts(order.directory)
        self._open_vswitch = OpenVSwitch(order.directory)
        self._net: LabNet | None = None
        self._links = Links()
        self._created_s = time.time()

    def run(self) -> int:
        """Live from up to down; the exit status is that of the lab."""
        # Ctrl-C is the starter's to answer; a handler, since children would inherit "ignored".
        signal.signal(signal.SIGINT, lambda *_: None)
        try:
            self._bring_up()
        except Exception as error:
            self._write_state("failed", error=str(error))
            self._tell(error=_one_line(error))
            if isinstance(error, LabError):
                return 1
            raise
        cli = CliServer(self.directory.cli_socket)
        self._write_state("ready")
        self._tell(ready=True)
        if self.order.interactive:
            self._starter.recv(1)  # the starter has left the terminal to us
            cli.run_here(self._net)
        else:
            cli.serve(self._net)  # until the sandbox is ended
        return 0

    def _tell(self, **message: Any) -> None:
        try:
            self._starter.sendall((json.dumps(message) + "\n").encode())
        except OSError:
            pass  # a detached lab goes on when its starter has gone

    # -- bringing it up

    def _bring_up(self) -> None:
        os.environ.update(child_environment(self.directory))
        os.environ["VXLAB_OVS_DATAPATH"] = self.order.datapath
        setLogLevel("output" if self.order.interactive else "error")
        use_parts(self._parts)
        self._write_state("starting")
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("Open vSwitch", self._start_open_vswitch),
            ("nodes and links", self._build),
            ("switches", self._start_switches),
            ("VTEP agents", self._await_agents),
            ("groups", self._await_groups),
            ("addresses", self._await_addresses),
        )
        for number, (name, step) in enumerate(steps, start=1):
            self._tell(step=name, number=number, of=len(steps))
            step()

    def _start_open_vswitch(self) -> None:
        self._parts.start_forkserver()  # it imports meanwhile
        for which in ("all", "default"):  # or the switches' own ports send router solicitations
            Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        if self.order.datapath == "user":
            userspace.spread()
        self._open_vswitch.start()

    def _build(self) -> None:
        Mininet.inited = True  # its init() raises limits and sysctls of the whole machine
        self._net = LabNet(self.topo, controller=UnderlayController, build=False)
        self._net.build()
        name_namespace(LAB_NAMESPACE, os.getpid())
        for host in self._net.hosts:
            name_namespace(host.name, host.pid)
        self._links.links = of_mininet(self._net.links)
        self._net.lab_links = self._links
        operations = Operations(
            self.topo, self._parts, self._open_vswitch, self._links, self._write_state
        )
        serve(self.directory.socket, operations.table())

    def _start_switches(self) -> None:
        assert self._net is not None
        self._net.start()
        wanted = {dpid(self.topo, switch) for switch in self.topo.underlay_switches}

        def unmet() -> str | None:
            seen = rpc.ask(self.directory.controller_socket, "ready")["switches"]
            missing = sorted(wanted - set(seen))
            log = self.directory.log("controller")
            return (
                f"switches {missing} have not connected to the controller (log: {log})"
                if missing
                else None
            )

        await_condition(unmet, "switches connected")
        if self.order.datapath == "user":
            userspace.relieve(self.directory)

    def _await_agents(self) -> None:
        waiting = list(self.topo.hypervisors)

        def unmet() -> str | None:
            while waiting:
                if missing := self._parts.agent_missing(waiting[-1]):
                    return missing
                waiting.pop()
            return None

        await_condition(unmet, "agents ready")

    def _await_groups(self) -> None:
        expected = expected_snooping(self.topo)

        def unmet() -> str | None:
            if outside := not_joined(self.directory, self.topo):
                return outside
            found: dict[tuple[int, str], set[int]] = {
                (row["dpid"], row["group"]): {port["port"] for port in row["ports"]}
                for row in rpc.ask(self.directory.controller_socket, "groups")
            }
            for switch, groups in expected.items():
                for group, ports in groups.items():
                    if missing := ports - found.get((switch, group), set()):
                        return (
                            f"switch {switch}: group {group} not snooped on ports {sorted(missing)}"
                        )
            return None

        await_condition(unmet, "groups joined and snooped")

    def _await_addresses(self) -> None:
        """Every switch knows the way to every VTEP that joined a group.

        Without it their first unicast would be flooded. VTEPs without groups have sent nothing yet;
        the others have shown themselves by their reports, since the querier asked.
        """
        vteps = {
            mac_of(hypervisor.underlay)
            for hypervisor in self.topo.hypervisors.values()
            if hypervisor.groups()
        }
        wanted = {(dpid(self.topo, s), mac) for s in self.topo.underlay_switches for mac in vteps}

        def unmet() -> str | None:
            hosts = rpc.ask(self.directory.controller_socket, "hosts")
            missing = wanted - {(row["dpid"], row["mac"]) for row in hosts}
            return f"(switch, VTEP) {sorted(missing)[:3]} not learned" if missing else None

        await_condition(unmet, "addresses learned")

    # -- what it is

    def _write_state(self, state: str, **more: Any) -> None:
        self.directory.write_state(
            {
                "name": self.directory.name,
                "topology": self.order.topology,
                "options": self.order.options,
                "state": state,
                "created_s": self._created_s,
                "datapath": self.order.datapath,
                "underlay": self.topo.family.name,
                "nodes": list(self.topo.rows()),
                "links": self._links.recorded(),
                "dpids": {dpid(self.topo, name): name for name in self.topo.underlay_switches},
                "peers": peers(self.topo),
                "segments": {vni: segment.group for vni, segment in self.topo.segments.items()},
                **more,
            }
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
