"""How long one agent takes for a first packet: from a VM's frame to the packet on the underlay.

 vm - port - h - under - far
A broadcast from an unknown MAC is flooded; `far` takes the place of the other VTEPs. Measured with
one VNI and an empty table, and with many VNIs and rows; on both data paths, since the agent itself
floods on both.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.bench.bed import socket_within
from tests.bench.summary import median
from tests.support.poll import eventually
from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.system.commands import run

MANY_VNIS, MANY_ROWS = 1_000, 100_000
FLOODS = 500
_GROUPS = 50
_ETH_P_ALL = 3
_PORT = 4789
_CHUNK = 5_000  # packets sent before checking that all have arrived
_WITHIN_S = 30.0
_OUTER = 14 + 20 + 8 + 8  # Ethernet, IPv4, UDP, VXLAN

_NODES = """
set -e
for node in vm h far; do
  ip netns add {name}-$node
  ip netns exec {name}-$node sh -c 'for w in all default; do
    echo 1 > /proc/sys/net/ipv6/conf/$w/disable_ipv6; done'
done
ip -n {name}-vm link add name eth0 type veth peer name port netns {name}-h
ip -n {name}-far link add name eth0 mtu 1600 type veth peer name under mtu 1600 netns {name}-h
ip -n {name}-h link set dev port up
ip -n {name}-h link set dev under up
ip -n {name}-vm link set dev eth0 up
ip -n {name}-far link set dev eth0 up
ip -n {name}-h addr add 192.0.2.11/24 dev under
ip -n {name}-far addr add 192.0.2.12/24 dev eth0
"""
_CONFIG = """
name = "h"
control = "{control}"
datapath = "{datapath}"
[underlay]
interface = "under"
local = "192.0.2.11"
[[port]]
interface = "port"
"""
_SEGMENT = """
[[segment]]
vni = {vni}
vlan = {vlan}
group = "239.1.1.{group}"
"""

Figures = dict[str, float]


def first_packets(directory: Path) -> Figures:
    """Median microseconds of a first packet, by data path and table size.

    With many VNIs, the first flood of each VNI is reported separately: the agent builds the outer
    header of a VNI when it first floods there.
    """
    found: Figures = {}
    for data_path in ("ebpf", "python"):
        for name, vnis, rows in (("empty", 1, 0), ("full", MANY_VNIS, MANY_ROWS)):
            with _agent(f"{data_path}-{name}", data_path, vnis, directory) as control:
                _learn(f"{data_path}-{name}", control, vnis, rows)
                new, later = _flood_us(f"{data_path}-{name}", vnis)
            found[f"first_{data_path}_{name}_us"] = later
            if vnis > 1:
                found[f"first_{data_path}_{name}_new_us"] = new
    return found


@contextlib.contextmanager
def _agent(name: str, data_path: str, vnis: int, directory: Path) -> Iterator[Path]:
    run("sh", "-c", _NODES.format(name=name))
    control, config = directory / f"{name}.sock", directory / f"{name}.toml"
    segments = (
        _SEGMENT.format(vni=10 + number, vlan=1 + number, group=1 + number % _GROUPS)
        for number in range(vnis)
    )
    config.write_text(_CONFIG.format(control=control, datapath=data_path) + "".join(segments))
    command = [sys.executable, "-m", "vtep", "--config", str(config)]
    log = directory / f"{name}.log"
    with log.open("wb") as out:
        agent = subprocess.Popen(
            ["ip", "netns", "exec", f"{name}-h", *command], stdout=out, stderr=out
        )

    def answers() -> None:
        if agent.poll() is not None:
            raise LabError(f"{name}: {log.read_text().strip()[-500:]}")
        assert rpc.answers(control), f"{name}: the agent does not reply on its control socket"

    try:
        eventually(answers, _WITHIN_S)
        yield control
    finally:
        agent.terminate()
        agent.wait(_WITHIN_S)


def _learn(name: str, control: Path, vnis: int, rows: int) -> None:
    """Let the agent learn `rows` MACs, distributed over its VNIs."""
    with socket_within(f"{name}-far", _vtep_socket) as remote:
        for number in range(rows):
            header = struct.pack("!II", 0x08000000, 10 + number % vnis << 8)
            source = b"\x02\xaa" + number.to_bytes(4, "big")
            remote.send(header + b"\xff" * 6 + source + b"\x88\xb5" + bytes(46))
            if number % _CHUNK == _CHUNK - 1:
                eventually(partial(_check_received, control, number + 1), _WITHIN_S)


def _vtep_socket() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.connect(("192.0.2.11", _PORT))
    return opened


def _check_received(control: Path, packets: int) -> None:
    rows = rpc.ask(control, "stats")
    received = sum(row["decapsulated"]["unicast"]["packets"] for row in rows)
    assert received == packets, f"the agent has received {received} of {packets} packets"


def _flood_us(name: str, vnis: int) -> tuple[float, float]:
    """Medians of the first flood of each VNI and of the later ones; the VNIs take turns."""
    times = []
    with (
        socket_within(f"{name}-vm", _packet_socket) as vm,
        socket_within(f"{name}-far", _packet_socket) as far,
    ):
        for number in range(FLOODS + vnis):
            body = b"first packet" + number.to_bytes(4, "big")
            source = b"\x02\xfe\x00" + number.to_bytes(3, "big")
            vlan = struct.pack("!HH", 0x8100, 1 + number % vnis)
            began = time.perf_counter()
            vm.send(b"\xff" * 6 + source + vlan + b"\x88\xb5" + body.ljust(46, b"\0"))
            _await(name, far, source)
            times.append(1e6 * (time.perf_counter() - began))
    return median(times[:vnis]), median(times[vnis:])


def _packet_socket() -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    opened.bind(("eth0", _ETH_P_ALL))
    return opened


def _await(name: str, far: socket.socket, source: bytes) -> None:
    """Wait for the packet that carries a frame with this source MAC."""
    deadline = time.monotonic() + _WITHIN_S
    while select.select([far], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if far.recv(2048)[_OUTER + 6 : _OUTER + 12] == source:
            return
    raise LabError(f"{name}: a frame was not flooded")
