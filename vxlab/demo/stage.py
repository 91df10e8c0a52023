"""The stage: a lab with taps on its links; the scene acts here and looks here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from scapy.layers.l2 import ARP, Dot1Q, Ether

from vxlab.capture.decode import Encapsulated, encapsulated
from vxlab.capture.packets import Sighting, Tap, drain
from vxlab.control import rpc
from vxlab.demo.cast import Cast
from vxlab.lab.groups import snooped_by_group
from vxlab.lab.handle import Lab
from vxlab.topology.names import nic
from vxlab.waiting import await_condition

WHO_HAS, IS_AT = 1, 2  # ARP operations, RFC 826


class Stage:
    """Acts in a lab and keeps everything its taps see."""

    def __init__(self, lab: Lab, cast: Cast, taps: list[Tap]) -> None:
        self.lab = lab
        self.cast = cast
        self._taps = taps
        self.seen: list[Sighting] = []

    # -- acting

    def run(self, node: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a node."""
        vxlab = [sys.executable, "-m", "vxlab", "exec", "--lab", self.lab.name, node, "--"]
        return subprocess.run([*vxlab, *command], capture_output=True, text=True)

    def ping(self, count: int) -> bool:
        """The asker pings the answerer; whether all came back."""
        target = self.cast.address(self.cast.answerer)
        name = self.cast.asker["name"]
        return (
            self.run(name, "ping", "-c", str(count), "-i", "0.1", "-W", "2", target).returncode == 0
        )

    def settle(self) -> None:
        """Let what is under way arrive: a ping along each underlay path comes behind it."""
        for row in self.lab.nodes("hypervisor"):
            if row != self.cast.sender:
                self.run(self.cast.sender["name"], "ping", "-c1", "-W", "2", row["underlay"])
        self.look()

    # -- looking

    def look(self) -> None:
        """Take in what waits at the taps."""
        self.seen += drain(self._taps)

    def await_seen(self, what: str, found: Callable[[], bool]) -> None:
        """Look until `found` is true; LabError names what was missing."""

        def unmet() -> str | None:
            self.look()
            return None if found() else what

        await_condition(unmet, "captured")

    def on(self, interface: str) -> Iterator[Sighting]:
        """What an interface carried."""
        return (s for s in self.seen if s.interface == interface)

    def vxlan(self, hypervisor: str, direction: int | None = None) -> list[Encapsulated]:
        """The VXLAN packets on a hypervisor's underlay link, in one direction or both."""
        found = (
            encapsulated(s) for s in self.on(nic(hypervisor)) if direction in (None, s.direction)
        )
        return [packet for packet in found if packet is not None]

    def vxlan_since(self, mark: int, hypervisor: str) -> list[Encapsulated]:
        """The VXLAN packets on a hypervisor's underlay link after the first `mark` sightings."""
        late = self.seen[mark:]
        return [packet for packet in self.vxlan(hypervisor) if packet.sighting in late]

    def snooped(self) -> dict[str, list[str]]:
        """Per underlay switch, the neighbours it sends the scene's group to."""
        return snooped_by_group(self.lab).get(self.cast.group, {})

    def arp_packets(self, hypervisor: str, operation: int, direction: int) -> list[Encapsulated]:
        """The VXLAN packets that carry the scene's ARP request, or its answer."""
        return [p for p in self.vxlan(hypervisor, direction) if self._plays(p.inner, operation)]

    def arp_frames(self, interface: str, operation: int, direction: int) -> list[Ether]:
        """The scene's ARP request, or its answer, on a VM's NIC or a trunk."""
        frames = (Ether(s.data) for s in self.on(interface) if s.direction == direction)
        return [frame for frame in frames if self._plays(frame, operation)]

    def _plays(self, frame: Ether, operation: int) -> bool:
        """Whether a frame is the asker's request or the answerer's answer.

        Some seconds later the answerer's kernel asks back, unicast; that is another scene.
        """
        if ARP not in frame or frame[ARP].op != operation:
            return False
        if operation == WHO_HAS:
            return bool(frame.src == self.cast.asker["mac"] and frame.dst == "ff:ff:ff:ff:ff:ff")
        return bool(frame.src == self.cast.answerer["mac"])

    def ask(self, hypervisor: str, do: str) -> Any:
        """Ask a hypervisor's agent."""
        return rpc.ask(self.lab.directory.agent_socket(hypervisor), do)

    def row(self, hypervisor: str, mac: str) -> dict[str, Any] | None:
        """The row of a MAC in the scene's VNI."""
        rows = self.ask(hypervisor, "fdb")
        return next((r for r in rows if (r["vni"], r["mac"]) == (self.cast.vni, mac)), None)

    def flood_counters(self) -> dict[str, tuple[int, int]]:
        """Per member VTEP, flood packets sent and received in the scene's VNI."""
        counters = {}
        for member in self.cast.members:
            for row in self.ask(member["name"], "stats"):
                if row["vni"] == self.cast.vni:
                    ways = (row["encapsulated"], row["decapsulated"])
                    sent, received = (way["flood"]["packets"] for way in ways)
                    counters[member["name"]] = (sent, received)
        return counters


def vlan_of(frame: Ether) -> int | None:
    """The VLAN of a tagged frame."""
    return int(frame[Dot1Q].vlan) if Dot1Q in frame else None
