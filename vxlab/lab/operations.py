"""Changes to a running lab: restart a component, move a VM, set links, change VTEPs."""

from __future__ import annotations

import dataclasses
import ipaddress
import subprocess
import time
from collections.abc import Callable
from typing import Any

from vxlab.errors import LabError, UsageError
from vxlab.lab.components import Components
from vxlab.lab.links import Links
from vxlab.lab.vtep_changes import VtepChanges
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
        links: Links,
        write_state: Callable[[str], None],
    ) -> None:
        self._topo = topo
        self._components = components
        self._open_vswitch = open_vswitch
        self._links = links
        self._write_state = write_state
        self._vteps = VtepChanges(topo, components.directory, write_state)

    def table(self) -> dict[str, Callable[..., Any]]:
        """Request -> what carries it out."""
        return {
            "restart": self.restart,
            "move": self.move,
            "link_set": self.link_set,
            "link_show": self.link_show,
            **self._vteps.table(),
        }

    def link_set(self, one: str, other: str, state: str) -> list[dict[str, str]]:
        """Set the links between two nodes up or down; returns their rows."""
        rows = self._links.set(one, other, state)
        self._write_state("ready")
        return rows

    def link_show(self) -> list[dict[str, str]]:
        """All links with their present state, which is recorded for `nodes` and `ps`, too."""
        before = self._links.recorded()
        rows = self._links.show()
        if rows != before:
            self._write_state("ready")
        return rows

    def restart(self, part: str) -> dict[str, Any]:
        """Restart a hypervisor's agent, "controller" or "ovs-vswitchd"; returns when it is up."""
        if part == "controller":
            self._components.restart_controller()
        elif part == "ovs-vswitchd":
            self._restart_vswitchd()
        elif part in self._topo.hypervisors:
            self._components.restart_agent(part)
        else:
            names = ", ".join(["controller", "ovs-vswitchd", *self._topo.hypervisors])
            raise UsageError(f"{part}: no such component in this lab; components: {names}")
        return {}

    def _restart_vswitchd(self) -> None:
        self._open_vswitch.restart_vswitchd()
        vswitchd_tuning.pin_and_grow_buffers(self._components.directory)

    def move(self, vm: str, hypervisor: str) -> dict[str, Any]:
        """Plug a VM's cable into another hypervisor's virtual switch, as a live migration ends."""
        if vm not in self._topo.vms:
            raise UsageError(f"{vm}: no such VM in this lab; VMs: {', '.join(self._topo.vms)}")
        if hypervisor not in self._topo.hypervisors:
            names = ", ".join(self._topo.hypervisors)
            raise UsageError(f"{hypervisor}: no such hypervisor in this lab; hypervisors: {names}")
        moving, target = self._topo.vms[vm], self._topo.hypervisors[hypervisor]
        if moving.segment.vni not in target.vlans:
            raise LabError(
                f"{hypervisor}: does not have VNI {moving.segment.vni} of {vm}; "
                f"`vxlab vni add {hypervisor} {moving.segment.vni}` adds it"
            )
        trunk, vlan = target.attach(moving.segment, None)
        cable = self._cable(vm)
        plug = ("add-port", target.bridges[trunk], cable, f"tag={vlan}")
        _run("ovs-vsctl", "del-port", cable, "--", *plug)
        vswitchd_tuning.pin_and_grow_buffers(self._components.directory)
        _announce(moving, target.bridges[trunk], cable)
        self._topo.vms[vm] = dataclasses.replace(
            moving, hypervisor=hypervisor, vlan=vlan, trunk=trunk
        )
        self._links.plugged(vm, target.bridges[trunk])
        self._write_state("ready")
        return {}

    def _cable(self, vm: str) -> str:
        """The switch's end of a VM's link; it keeps its name wherever it is plugged in."""
        bridge, port = self._topo.ports[vm][0]
        return interface_name(bridge, f"-eth{port}")


def _announce(vm: Vm, bridge: str, cable: str) -> None:
    """Announce the VM's new place for it, as a hypervisor does at the end of a live migration.

    A gratuitous ARP (RFC 5227 section 3) is broadcast, so every VTEP of the VNI receives it. It is
    sent more than once, as QEMU does: a VTEP that must first resolve its remotes may lose one.
    """
    mac, ip = bytes.fromhex(vm.mac.replace(":", "")), ipaddress.ip_interface(vm.ip).ip.packed
    request = bytes.fromhex("0001080006040001")
    frame = b"\xff" * 6 + mac + b"\x08\x06" + request + mac + ip + bytes(6) + ip
    port = _run("ovs-vsctl", "get", "Interface", cable, "ofport").strip()
    request_out = f"in_port={port} packet={frame.hex()} actions=NORMAL"
    for pause_s in ANNOUNCEMENTS_S:
        time.sleep(pause_s)
        _run("ovs-ofctl", "packet-out", bridge, request_out)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{command[0]}: {' '.join(done.stderr.split()) or 'no output'}")
    return done.stdout
