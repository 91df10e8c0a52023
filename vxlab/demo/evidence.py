"""The running lab of the demo: acts in it, captures on its links, and asks its VTEPs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from scapy.layers.l2 import ARP, Dot1Q, Ether

from vxlab.capture.decode import Encapsulated, encapsulated
from vxlab.capture.packets import Capture, CapturedPacket, drain
from vxlab.control import rpc
from vxlab.demo.roles import Roles
from vxlab.errors import LabError
from vxlab.lab.captures import open_captures
from vxlab.lab.groups import snooped_by_group
from vxlab.lab.handle import Lab
from vxlab.topology.names import nic
from vxlab.waiting import await_condition

WHO_HAS, IS_AT = 1, 2  # ARP operations, RFC 826
_NO_REPLY = 1  # the exit status of ping if replies are missing; others are errors


class DemoLab:
    """A lab with its roles, and every packet captured on its links."""

    def __init__(self, lab: Lab, roles: Roles) -> None:
        """Start the captures: all underlay links, the asker's VTEP port, the NICs of the VMs."""
        self.lab = lab
        self.roles = roles
        self.seen: list[CapturedPacket] = []
        links: list[tuple[str, str | None]] = [(roles.sender["name"], roles.port)]
        links += [(row["name"], nic(row["name"])) for row in lab.nodes("hypervisor")]
        links += [(row["name"], nic(row["name"])) for row in roles.vms]
        self._captures: list[Capture] = open_captures(lab, links)

    # -- acting

    def ping(self, node: str, address: str, count: int = 1) -> bool:
        """Ping from a node; whether all replies came. LabError if ping could not run."""
        command = ("ping", "-c", str(count), "-i", "0.1", "-W", "2", address)
        vxlab = [sys.executable, "-m", "vxlab", "exec", "--lab", self.lab.name, node, "--"]
        # This process may be in the lab's user namespace by now, where an ordinary user appears as
        # root. Name the directory of the labs, since root's is another one.
        environment = {**os.environ, "VXLAB_BASE": str(self.lab.directory.path.parent)}
        done = subprocess.run([*vxlab, *command], capture_output=True, text=True, env=environment)
        if done.returncode not in (0, _NO_REPLY) or (done.returncode and done.stderr):
            lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise LabError(f"{node}: {' '.join(command)}: {lines[-1]}")
        return done.returncode == 0

    def ping_answerer(self, count: int) -> bool:
        """The asker pings the answerer; whether all replies came."""
        roles = self.roles
        return self.ping(roles.asker["name"], roles.address(roles.answerer), count)

    def settle(self) -> None:
        """Wait for packets on their way: a ping along each underlay path arrives after them."""
        sender = self.roles.sender
        for row in self.lab.nodes("hypervisor"):
            if row["name"] != sender["name"]:
                self.ping(sender["name"], row["underlay"])
        self.look()

    # -- captured packets

    def look(self) -> None:
        """Read the packets that wait at the captures."""
        self.seen += drain(self._captures)

    def await_seen(self, missing: str, found: Callable[[], bool]) -> None:
        """Look until `found` is true; LabError with the text `missing` if it is not in time."""

        def unmet() -> str | None:
            self.look()
            return None if found() else missing

        await_condition(unmet, "captured")

    def on(self, interface: str) -> Iterator[CapturedPacket]:
        """The packets on an interface."""
        return (each for each in self.seen if each.interface == interface)

    def vxlan(self, hypervisor: str, direction: int | None = None) -> list[Encapsulated]:
        """The VXLAN packets on a hypervisor's underlay link, in one direction or both."""
        found = (
            encapsulated(each)
            for each in self.on(nic(hypervisor))
            if direction in (None, each.direction)
        )
        return [packet for packet in found if packet is not None]

    def vxlan_since(self, mark: int, hypervisor: str) -> list[Encapsulated]:
        """The VXLAN packets on an underlay link after the first `mark` captured packets."""
        late = self.seen[mark:]
        return [packet for packet in self.vxlan(hypervisor) if packet.captured in late]

    def arp_packets(self, hypervisor: str, operation: int, direction: int) -> list[Encapsulated]:
        """The VXLAN packets that carry the demo's ARP request or its reply."""
        packets = self.vxlan(hypervisor, direction)
        return [packet for packet in packets if self._is_arp(packet.inner, operation)]

    def arp_frames(self, interface: str, operation: int, direction: int) -> list[Ether]:
        """The demo's ARP request or its reply, on a VM's NIC or a VTEP's port."""
        frames = (Ether(each.data) for each in self.on(interface) if each.direction == direction)
        return [frame for frame in frames if self._is_arp(frame, operation)]

    def _is_arp(self, frame: Ether, operation: int) -> bool:
        """Whether a frame is the asker's ARP request, or the answerer's reply.

        Some seconds later the answerer's kernel confirms the asker's address by a unicast request
        of its own, which is not part of the demo.
        """
        if ARP not in frame or frame[ARP].op != operation:
            return False
        if operation == WHO_HAS:
            return bool(frame.src == self.roles.asker["mac"] and frame.dst == "ff:ff:ff:ff:ff:ff")
        return bool(frame.src == self.roles.answerer["mac"])

    # -- the VTEPs and the switches

    def snooped(self) -> dict[str, list[str]]:
        """Underlay switch -> the neighbours to which it forwards the group."""
        return snooped_by_group(self.lab).get(self.roles.group, {})

    def ask(self, hypervisor: str, do: str) -> Any:
        """The answer of a hypervisor's VTEP to a request."""
        return rpc.ask(self.lab.directory.agent_socket(hypervisor), do)

    def remote_of(self, hypervisor: str, mac: str) -> str | None:
        """The remote of a MAC in a VTEP's table, None if there is no entry or it is local."""
        for row in self.ask(hypervisor, "fdb"):
            if (row["vni"], row["mac"]) == (self.roles.vni, mac):
                return None if row["remote"] is None else str(row["remote"])
        return None

    def flood_counters(self) -> dict[str, tuple[int | None, int | None]]:
        """Member -> flood packets sent and received in the VNI; None if its kind counts none."""
        counters = {}
        for member in self.roles.members:
            for row in self.ask(member["name"], "stats"):
                if row["vni"] == self.roles.vni:
                    ways = (row["encapsulated"], row["decapsulated"])
                    sent, received = (way["flood"]["packets"] for way in ways)
                    counters[member["name"]] = (sent, received)
        return counters


def vlan_of(frame: Ether) -> int | None:
    """The VLAN of a tagged frame, None if it has no tag."""
    return int(frame[Dot1Q].vlan) if Dot1Q in frame else None
