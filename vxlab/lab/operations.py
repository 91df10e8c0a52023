"""What can be done to a lab that runs: restart a part, move a VM to another hypervisor."""

from __future__ import annotations

import dataclasses
import ipaddress
import subprocess
import time
from collections.abc import Callable
from typing import Any

from vxlab.errors import LabError, UsageError
from vxlab.lab.components import Components
from vxlab.system import vswitchd_tuning
from vxlab.system.open_vswitch import OpenVSwitch
from vxlab.topology.names import interface_name
from vxlab.topology.overlay import OverlayTopo
from vxlab.topology.plan import Vm

ANNOUNCEMENTS_S = (0.0, 0.05, 0.15)  # pauses before each


class Operations:
    """The table behind the lab's control socket."""

    def __init__(
        self,
        topo: OverlayTopo,
        components: Components,
        open_vswitch: OpenVSwitch,
        write_state: Callable[[str], None],
    ) -> None:
        self._topo = topo
        self._components = components
        self._open_vswitch = open_vswitch
        self._write_state = write_state

    def table(self) -> dict[str, Callable[..., Any]]:
        """Request -> what carries it out."""
        return {"restart": self.restart, "move": self.move}

    def restart(self, part: str) -> dict[str, Any]:
        """Restart a hypervisor's agent, "controller" or "ovs-vswitchd"; returns when it is up."""
        if part == "controller":
            self._components.restart_controller()
        elif part == "ovs-vswitchd":
            self._restart_vswitchd()
        elif part in self._topo.hypervisors:
            self._components.restart_agent(part)
        else:
            allowed = ", ".join(["controller", "ovs-vswitchd", *self._topo.hypervisors])
            raise UsageError(f"{part}: no part of this lab; allowed: {allowed}")
        return {}

    def _restart_vswitchd(self) -> None:
        self._open_vswitch.restart_vswitchd()
        vswitchd_tuning.pin_and_grow_buffers(self._components.directory)

    def move(self, vm: str, hypervisor: str) -> dict[str, Any]:
        """Plug a VM's cable into another hypervisor's virtual switch, as a live migration ends."""
        if vm not in self._topo.vms:
            raise UsageError(f"{vm}: no VM of this lab; allowed: {', '.join(self._topo.vms)}")
        if hypervisor not in self._topo.hypervisors:
            allowed = ", ".join(self._topo.hypervisors)
            raise UsageError(f"{hypervisor}: no hypervisor of this lab; allowed: {allowed}")
        moving, target = self._topo.vms[vm], self._topo.hypervisors[hypervisor]
        if moving.segment.vni not in target.vlans:
            raise LabError(f"{hypervisor}: does not carry VNI {moving.segment.vni} of {vm}")
        trunk, vlan = target.attach(moving.segment, None)
        cable = self._cable(vm)
        plug = ("add-port", target.bridges[trunk], cable, f"tag={vlan}")
        _run("ovs-vsctl", "del-port", cable, "--", *plug)
        vswitchd_tuning.pin_and_grow_buffers(self._components.directory)
        _announce(moving, target.bridges[trunk], cable)
        self._topo.vms[vm] = dataclasses.replace(
            moving, hypervisor=hypervisor, vlan=vlan, trunk=trunk
        )
        self._write_state("ready")
        return {}

    def _cable(self, vm: str) -> str:
        """The switch's end of a VM's link; it keeps its name wherever it is plugged in."""
        bridge, port = self._topo.ports[vm][0]
        return interface_name(bridge, f"-eth{port}")


def _announce(vm: Vm, bridge: str, cable: str) -> None:
    """Say for the VM where it is now, as a hypervisor does at the end of a live migration.

    A gratuitous ARP (RFC 5227 section 3): broadcast, so every VTEP of the VNI hears it. Said more
    than once, as QEMU does, since a VTEP that must first resolve its remotes may lose the first.
    """
    mac, ip = bytes.fromhex(vm.mac.replace(":", "")), ipaddress.ip_interface(vm.ip).ip.packed
    request = bytes.fromhex("0001080006040001")
    frame = b"\xff" * 6 + mac + b"\x08\x06" + request + mac + ip + bytes(6) + ip
    port = _run("ovs-vsctl", "get", "Interface", cable, "ofport").strip()
    said = f"in_port={port} packet={frame.hex()} actions=NORMAL"
    for pause_s in ANNOUNCEMENTS_S:
        time.sleep(pause_s)
        _run("ovs-ofctl", "packet-out", bridge, said)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{command[0]}: {' '.join(done.stderr.split()) or 'no output'}")
    return done.stdout
