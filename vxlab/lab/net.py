"""Mininet as a lab uses it."""

from __future__ import annotations

from typing import Any

from mininet.net import Mininet
from mininet.node import Node

from vxlab.nodes.controllers import ExternalController
from vxlab.nodes.hosts import HypervisorNode
from vxlab.nodes.links import Veth
from vxlab.nodes.plain_mininet import StandaloneHypervisor
from vxlab.topology.overlay import OverlayTopo


class LabNet(Mininet):
    """Mininet without processes of ours, and with one Open vSwitch datapath for all switches.

    The lab's runner starts controller and agents.
    """

    def __init__(self, topo: OverlayTopo, ovs_datapath: str) -> None:
        """ovs_datapath: "kernel" or "user"."""
        self.ovs_datapath = ovs_datapath
        Mininet.inited = True  # its init() raises limits and sysctls of the whole machine
        super().__init__(topo, controller=ExternalController, build=False)

    def addHost(  # the name is Mininet's
        self, name: str, cls: type[Node] | None = None, **params: Any
    ) -> Node:
        """Add a host; hypervisors do not start their agent themselves."""
        if cls is StandaloneHypervisor:
            cls = HypervisorNode
            for parameter in ("vtep_module", "vtep_config"):
                params.pop(parameter)
        return super().addHost(name, cls, **params)

    def addSwitch(  # the name is Mininet's
        self, name: str, cls: type[Node] | None = None, **params: Any
    ) -> Node:
        """Add a switch, with the lab's datapath."""
        return super().addSwitch(name, cls, **{"datapath": self.ovs_datapath, **params})

    def addLink(  # the name is Mininet's
        self, node1: str, node2: str, cls: type | None = None, **params: Any
    ) -> Any:
        """Add a link, made for the lab's datapath."""
        if cls is not None and issubclass(cls, Veth):
            params["ovs_datapath"] = self.ovs_datapath
        return super().addLink(node1, node2, cls=cls, **params)

    def pingAll(self, timeout: Any = None) -> float:  # the name is Mininet's
        """Ping between all VMs of each VNI; returns the worst loss in percent.

        VMs of different VNIs must not reach each other, so Mininet's would report a loss.
        """
        by_vni: dict[int, list[Any]] = {}
        for vm in self.topo.vms.values():
            by_vni.setdefault(vm.segment.vni, []).append(self[vm.name])
        return max(
            (self.ping(hosts=hosts, timeout=timeout) for hosts in by_vni.values()), default=0.0
        )
