"""A plain Mininet network with as many nodes and links as a lab, to compare start times with.

Each hypervisor has a bridge and a VM behind it. All are connected to one switch.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from mininet.net import Mininet
from mininet.node import OVSBridge, OVSSwitch
from mininet.topo import Topo

from vxlab.lab.bringup import choose_datapath
from vxlab.system.directory import LabDirectory
from vxlab.system.open_vswitch import OpenVSwitch, environment


class Bare(Topo):
    """The nodes of `many_vteps` with one VM per hypervisor, in Mininet's own classes."""

    def build(self, hypervisors: int = 1) -> None:
        """Called by Mininet: add all nodes and links."""
        datapath = choose_datapath()
        switch = self.addSwitch("s1", cls=OVSSwitch, failMode="standalone", datapath=datapath)
        for number in range(1, hypervisors + 1):
            host, vm = self.addHost(f"hv{number}"), self.addHost(f"vm{number}")
            bridge = self.addSwitch(f"br{number}", cls=OVSBridge, datapath=datapath)
            self.addLink(host, switch)
            self.addLink(host, bridge)
            self.addLink(vm, bridge)


def seconds(hypervisors: int, directory: Path) -> float:
    """How long plain Mininet takes to start as many hypervisors. Call it inside a sandbox."""
    folder = LabDirectory(directory / "bare")
    folder.make_folders()
    os.environ.update(environment(folder))
    began = time.monotonic()
    OpenVSwitch(folder).start()
    Mininet.inited = True  # else start() calls init(), which raises limits of the whole machine
    net = Mininet(Bare(hypervisors=hypervisors), controller=None)
    net.start()
    return time.monotonic() - began
