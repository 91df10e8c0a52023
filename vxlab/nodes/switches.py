"""The switches of a lab: the virtual switches of its hypervisors, and those of the underlay."""

from __future__ import annotations

import os
from typing import Any

from mininet.node import Controller, OVSBridge, OVSSwitch


def default_ovs_datapath() -> str:
    """The Open vSwitch datapath where no lab has chosen one: "kernel" if its module is loaded."""
    return "kernel" if os.path.isdir("/sys/module/openvswitch") else "user"


class VirtualSwitch(OVSBridge):
    """A hypervisor's virtual switch: access ports for VMs and a trunk to the agent.

    It forwards as a learning switch, without a controller.
    """

    def __init__(self, name: str, datapath: str | None = None, **params: Any) -> None:
        super().__init__(name, datapath=datapath or default_ovs_datapath(), **params)

    def start(self, controllers: list[Controller]) -> None:
        """Start it, with each VM's port in the VM's VLAN and the trunk carrying all VLANs."""
        super().start(controllers)
        for intf in self.intfList():
            if "vlan" in intf.params:
                self.vsctl(f" -- set Port {intf} tag={intf.params['vlan']}")


class UnderlaySwitch(OVSSwitch):
    """A switch of the underlay, with OpenFlow 1.3.

    failMode "secure" keeps the installed flows when the controller is gone.
    """

    def __init__(self, name: str, datapath: str | None = None, **params: Any) -> None:
        chosen = datapath or default_ovs_datapath()
        defaults = {"protocols": "OpenFlow13", "failMode": "secure"}
        super().__init__(name, datapath=chosen, **{**defaults, **params})
