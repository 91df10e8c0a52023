"""The test beds of the benchmark: for each way, two VMs, two hypervisors and an underlay.

 vm1 - port - h1 - under - u (Linux bridge) - under - h2 - port - vm2
Each node is a network namespace; each dash is a veth pair. The inner MTU is 1450, the underlay's
1500. The beds of all ways exist at the same time, so that measurements can alternate between them.
They are created in the caller's sandbox. If br_netfilter is loaded, bridges pass their packets to
the firewall; one way switches that off.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.poll import eventually
from vtep.forkserver import enter_network
from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.system.commands import run

INNER_MTU, UNDERLAY_MTU = 1450, 1500
VNI, GROUP = 10, "239.1.1.10"
_STARTS_WITHIN_S = 30.0


@dataclass(frozen=True)
class Way:
    """One way to connect two VMs."""

    name: str
    label: str  # self-explanatory, for tables and charts
    module: tuple[str, ...] | None  # starts the VTEP: arguments of `python -m`; None: no VTEP
    multicast: bool = True  # how it floods; False: head-end replication
    offloads: bool = True  # whether VMs leave checksums and segmentation to their NIC
    checksums: bool = False  # whether outer UDP headers have a checksum
    firewall: bool = True  # False: bridges do not call the firewall, even with br_netfilter


NOTHING, KERNEL = "nothing", "kernel"
WAYS = (
    Way(NOTHING, "no encapsulation (Linux bridges)", None),
    Way(KERNEL, "kernel vxlan device", ("vxlab.vteps.linux",)),
    Way("lean", "kernel vxlan device, no br_netfilter", ("vxlab.vteps.linux",), firewall=False),
    Way("ovs", "Open vSwitch vxlan port", ("vxlab.vteps.ovs",), False, offloads=False),
    Way("ebpf", "vxlab agent, eBPF", ("vtep", "--datapath", "ebpf")),
    Way("python", "vxlab agent, Python", ("vtep", "--datapath", "python")),
    Way("checksums", "vxlab agent, Python, UDP checksums", ("vtep", "--datapath", "python"),
        checksums=True),
    Way("naive", "Scapy for each packet", ("tests.bench.naive",), offloads=False),
)  # fmt: skip

_NODES = """
set -e
for node in vm1 h1 u h2 vm2; do
  ip netns add {way}-$node
  ip -n {way}-$node link set lo up
  ip netns exec {way}-$node sh -c 'for w in all default; do
    echo 1 > /proc/sys/net/ipv6/conf/$w/disable_ipv6; done'
done
ip -n {way}-u link add name br0 type bridge mcast_snooping 0
ip -n {way}-u link set dev br0 up
for i in 1 2; do
  ip -n {way}-vm$i link add name eth0 mtu {inner} type veth \
    peer name port mtu {inner} netns {way}-h$i
  ip -n {way}-h$i link add name under mtu {underlay} type veth \
    peer name under$i mtu {underlay} netns {way}-u
  ip -n {way}-u link set dev under$i master br0 up
  ip -n {way}-h$i link set dev under up
  ip -n {way}-h$i link set dev port up
  ip -n {way}-vm$i link set dev eth0 up
  ip -n {way}-vm$i addr add 10.0.0.$i/24 dev eth0
  ip -n {way}-h$i addr add 192.0.2.1$i/24 dev under
done
"""
_NO_FIREWALL = """
for filter in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $filter ] || echo 0 > $filter; done
"""
_BRIDGED = """
set -e
for i in 1 2; do
  ip -n {way}-h$i addr flush dev under
  ip -n {way}-h$i link add name br0 type bridge mcast_snooping 0
  ip -n {way}-h$i link set dev under master br0
  ip -n {way}-h$i link set dev port master br0
  ip -n {way}-h$i link set dev br0 up
done
"""
_CONFIG = """
name = "h{i}"
control = "{control}"
[underlay]
interface = "under"
local = "192.0.2.1{i}"
udp_checksum = {checksums}
offload = {offload}
[[port]]
interface = "port"
[[segment]]
vni = {vni}
port = "port"
{flood}
"""


class BenchBed:
    """The nodes, links and VTEPs of one way."""

    def __init__(self, way: Way, directory: Path) -> None:
        """Create the bed and wait until vm1 can ping vm2; LabError if a VTEP ends early."""
        self.way = way
        self.agents: list[subprocess.Popen[bytes]] = []
        values = {"way": way.name, "inner": INNER_MTU, "underlay": UNDERLAY_MTU}
        run("sh", "-c", _NODES.format_map(values))
        if not way.firewall:
            for node in ("h1", "u", "h2"):
                run(*self.inside(node), "sh", "-c", _NO_FIREWALL)
        if not way.offloads:
            for vm in ("vm1", "vm2"):
                run(*self.inside(vm), "ethtool", "-K", "eth0", "tx", "off")
        if way.module is None:
            run("sh", "-c", _BRIDGED.format_map(values))
        else:
            self.agents = [self._start(i, way.module, directory) for i in (1, 2)]
        eventually(self._check_ping, _STARTS_WITHIN_S)

    def inside(self, node: str) -> list[str]:
        """The prefix of a command that runs in a node."""
        return ["ip", "netns", "exec", f"{self.way.name}-{node}"]

    def socket_in(self, node: str, make: Callable[[], socket.socket]) -> socket.socket:
        """A socket made in a node; it stays there when we are back home."""
        return socket_within(f"{self.way.name}-{node}", make)

    def _start(self, i: int, module: tuple[str, ...], directory: Path) -> subprocess.Popen[bytes]:
        control = directory / f"{self.way.name}{i}.sock"
        flood = f'group = "{GROUP}"' if self.way.multicast else f'remotes = ["192.0.2.1{3 - i}"]'
        config = directory / f"{self.way.name}{i}.toml"
        checksums = str(self.way.checksums).lower()
        # The underlay is a Linux bridge, which carries super-frames. Only Open vSwitch's userspace
        # datapath, which is used without the kernel module, does not accept them.
        offload = str(self.way.name != "ovs" or ovs_datapath() == "kernel").lower()
        config.write_text(
            _CONFIG.format(
                i=i, control=control, vni=VNI, flood=flood, checksums=checksums, offload=offload
            )
        )
        command = [*self.inside(f"h{i}"), sys.executable, "-m", *module, "--config", str(config)]
        log = directory / f"{self.way.name}{i}.log"
        with log.open("wb") as out:
            agent = subprocess.Popen(command, stdout=out, stderr=out)

        def answers() -> None:
            if agent.poll() is not None:
                last = (log.read_text().strip().splitlines() or ["it ended without output"])[-1]
                raise LabError(f"{self.way.name}: {last}")
            assert rpc.answers(control), f"{self.way.name}: its VTEP does not reply"

        eventually(answers, _STARTS_WITHIN_S)
        return agent

    def _check_ping(self) -> None:
        done = subprocess.run(
            [*self.inside("vm1"), "ping", "-c", "1", "-W", "1", "10.0.0.2"],
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{self.way.name}: vm1 cannot ping vm2"


def socket_within(namespace: str, make: Callable[[], socket.socket]) -> socket.socket:
    """A socket made in a network namespace; it stays there when we are back home."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter_network(f"/run/netns/{namespace}")
        return make()
    finally:
        enter_network(f"/proc/self/fd/{back}")
        os.close(back)


def ovs_datapath() -> str:
    """Open vSwitch's datapath on this machine: "kernel" where its module is loaded, or "user"."""
    return "kernel" if Path("/sys/module/openvswitch").exists() else "user"
