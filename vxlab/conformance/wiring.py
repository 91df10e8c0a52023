"""The two links of the test bed, and the namespace in which the VTEP under test runs.

test process                       namespace of the VTEP
vmN  ----------------------------  port0     its VM port
ulN  ----------------------------  eth0      its underlay port
"""

from __future__ import annotations

import itertools
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vxlab.capture.packets import OUTBOUND, Capture, CapturedPacket
from vxlab.conformance import frames
from vxlab.conformance.setups import (
    OTHER_OWN4,
    OWN4,
    OWN6,
    UNDERLAY_INTERFACE,
    Setup,
)
from vxlab.conformance.verdict import NotObservable
from vxlab.system.commands import run

TOOLS = ("ip", "ethtool")  # that this file runs

OWN_MAC = "02:44:00:00:00:01"  # of the VTEP's underlay interface
_LARGE_MTU = 9000  # of all ends but the VTEP's underlay: only there a packet may be too big
_numbers = itertools.count(1)

_MAKE = """
ip netns add {name}
for port in {ports}; do
  ip link add vm{number}-$port mtu {large} type veth peer name $port netns {name} mtu {large}
done
ip link add {ul} mtu {large} type veth peer name {eth} netns {name} mtu {mtu} \
  address {own_mac}
for interface in {vms} {ul}; do
  echo 1 > /proc/sys/net/ipv6/conf/$interface/disable_ipv6
  ethtool -K $interface tx off gro off > /dev/null
  ip link set $interface up
done
"""

_INSIDE = """
for port in {ports}; do
  echo 1 > /proc/sys/net/ipv6/conf/$port/disable_ipv6
done
for interface in {ports} {eth}; do
  ethtool -K $interface tx off > /dev/null
  ip link set $interface up
done
ip link set lo up
"""

_TAG = """
ip link add link {eth} name {underlay} type vlan id {vlan}
ip link set {underlay} up
"""

_FOUR = """
ip addr add {other}/24 dev {underlay}
ip addr add {own}/24 dev {underlay}
"""

_SIX = """
echo 0 > /proc/sys/net/ipv6/conf/{underlay}/accept_dad
ip addr add {own}/64 dev {underlay} nodad
"""


@dataclass(frozen=True)
class Received:
    """What came out of the VTEP: a packet at the underlay port, or a frame at the VM port."""

    at_underlay: bool
    data: bytes


class Wires:
    """The test bed's ends of the virtual links, and the namespace at their other ends."""

    def __init__(self, setup: Setup, trunk: bool, watch: Callable[[CapturedPacket], None]) -> None:
        """Make them; LabError with the kernel's reason if it refuses.

        watch: called with every packet, sent or received.
        """
        number = next(_numbers)
        self.name = f"dut{number}"
        self._watch = watch
        self._vlans = None if trunk else [segment.vlan for segment in setup.segments]
        ports = setup.ports(trunk)
        vms = [f"vm{number}-{port}" for port in ports]
        self._links = [*vms, f"ul{number}"]
        fields = {
            "name": self.name,
            "number": number,
            "ports": " ".join(ports),
            "vms": " ".join(vms),
            "ul": self._links[-1],
            "own_mac": OWN_MAC,
            "eth": UNDERLAY_INTERFACE,
            "underlay": setup.interface,
            "large": _LARGE_MTU,
            "mtu": setup.mtu,
            "vlan": setup.vlan,
            "own": OWN6 if setup.ipv6 else OWN4,
            "other": OTHER_OWN4,
        }
        run("sh", "-euc", _MAKE.format_map(fields))
        # Open the sockets before the VTEP's ends come up, so that no membership report is missed.
        self._vms = [Capture("testbed", vm) for vm in vms]
        self._underlay = Capture("testbed", self._links[-1])
        self._by_fd = {capture.socket.fileno(): capture for capture in (*self._vms, self._underlay)}
        self._poller = select.poll()
        for fd in self._by_fd:
            self._poller.register(fd, select.POLLIN)
        script = [_INSIDE, _TAG if setup.vlan else "", _SIX if setup.ipv6 else _FOUR]
        run(*self.inside("sh", "-euc", "".join(script).format_map(fields)))

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command in the VTEP's namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def send_packet(self, packet: bytes) -> None:
        """Send at the underlay port."""
        self._send(self._underlay, packet)

    def send_frame(self, frame: bytes) -> None:
        """Send at the VM port. Without a trunk: untagged, at the port of the frame's VLAN.

        NotObservable if there is no trunk and no segment with this VLAN.
        """
        if self._vlans is None or self._vlans == [None]:
            self._send(self._vms[0], frame)
            return
        plain = frames.untagged(frame)
        vlan = int.from_bytes(frame[14:16], "big") & 0x0FFF if plain is not frame else None
        if vlan not in self._vlans:
            raise NotObservable("each segment has an untagged port of its own: no other VLAN")
        self._send(self._vms[self._vlans.index(vlan)], plain)

    def _send(self, capture: Capture, data: bytes) -> None:
        capture.send(data)  # a socket does not receive what it sends
        self._watch(CapturedPacket(time.time_ns(), capture.node, capture.interface, OUTBOUND, data))

    def read(self, seconds: float) -> Iterator[Received]:
        """What waits at the ports, or comes first within some seconds.

        Frames carry their segment's VLAN tag, also where the segment has an untagged port.
        """
        for fd, _ in self._poller.poll(seconds * 1000):
            capture = self._by_fd[fd]
            for captured in capture.read():
                self._watch(captured)
                if capture is self._underlay:
                    yield Received(True, captured.data)
                else:
                    vlan = self._vlans[self._vms.index(capture)] if self._vlans else None
                    yield Received(False, frames.tagged(captured.data, vlan))

    def close(self) -> None:
        """Remove the links and the namespace."""
        for capture in self._by_fd.values():
            capture.socket.close()
        # A link goes with its namespace: one that is gone already is not an error here.
        for link in self._links:
            subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
