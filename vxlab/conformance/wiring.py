"""The two wires of the bench, and the namespace at whose end the VTEP under test runs.

test process                       namespace of the VTEP
vmN  ----------------------------  port0     its VM port
ulN  ----------------------------  eth0      its underlay port
"""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

from vxlab.capture.packets import Capture
from vxlab.conformance.setups import (
    OTHER_OWN4,
    OWN4,
    OWN6,
    UNDERLAY_INTERFACE,
    Setup,
)
from vxlab.errors import LabError

OWN_MAC = "02:44:00:00:00:01"  # of the VTEP's underlay interface
_LARGE_MTU = 9000  # of all ends but the VTEP's underlay: only there may something not fit
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


class Wires:
    """The bench's ends of two virtual links, and the namespace at the other ends."""

    def __init__(self, setup: Setup, trunk: bool) -> None:
        """Make them; LabError bears what the kernel refused."""
        number = next(_numbers)
        self.name = f"dut{number}"
        ports = setup.ports(trunk)
        vms = [f"vm{number}-{port}" for port in ports]
        self._links = [*vms, f"ul{number}"]
        words = {
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
        run("sh", "-euc", _MAKE.format_map(words))
        # The bench listens before the VTEP's ends come up, so that it misses no report.
        self.vms = [Capture("bench", vm) for vm in vms]
        self.underlay = Capture("bench", self._links[-1])
        parts = [_INSIDE, _TAG if setup.vlan else "", _SIX if setup.ipv6 else _FOUR]
        run(*self.inside("sh", "-euc", "".join(parts).format_map(words)))
        self.own_mac = OWN_MAC

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command in the VTEP's namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def close(self) -> None:
        """Take all away again."""
        for capture in (*self.vms, self.underlay):
            capture.socket.close()
        for link in self._links:
            subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)


def run(*command: str) -> str:
    """Run a command and return its output; LabError bears its last line of complaint."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(
            f"{command[0]}: {error.strerror}; `vxlab doctor` says what is missing"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise LabError(f"{Path(command[0]).name}: {lines[-1]}")
    return done.stdout
