"""The kernel's vxlan device as a fourth VTEP: it learns from our agents, and they from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import RunningLab, lab
from tests.support.poll import eventually

TOPOLOGY = Path(__file__).with_name("kernel_vtep.py")
A, KERNEL_VM = "02:00:00:00:00:0a", "02:00:00:00:00:99"
GROUP = "239.1.1.10"


@pytest.fixture(scope="module")
def mixed() -> Iterator[RunningLab]:
    with lab(str(TOPOLOGY), "t-kernel") as running:
        for command in (
            # Open vSwitch's userspace datapath does not support super-frames of tunnels.
            "ethtool -K k4-eth0 tx off",
            f"ip link add vx10 type vxlan id 10 group {GROUP} dev k4-eth0 dstport 4789 ttl 16",
            f"ip link set vx10 address {KERNEL_VM} mtu 1500 up",
            "ip addr add 10.0.0.99/24 dev vx10",
        ):
            running.run("k4", *command.split())
        eventually(lambda: snooped(running))
        yield running


def snooped(lab: RunningLab) -> None:
    (row,) = lab.listing("groups")
    assert "k4" in row["snooped"]["s1"]


def test_both_learn_from_a_ping_by_a_vm_of_an_agent(mixed: RunningLab) -> None:
    mixed.ping("A", "10.0.0.99", count=3)
    mixed.assert_row("hv1", 10, KERNEL_VM, "192.0.2.14")
    table = mixed.run("k4", "bridge", "fdb", "show", "dev", "vx10")
    assert f"{A} dst 192.0.2.11" in table


def test_both_learn_from_a_ping_by_the_kernel_vtep(mixed: RunningLab) -> None:
    mixed.run("k4", "ip", "neigh", "flush", "dev", "vx10")
    mixed.ping("k4", "10.0.0.2", count=3)
    mixed.assert_row("hv2", 10, KERNEL_VM, "192.0.2.14")
    table = mixed.run("k4", "bridge", "fdb", "show", "dev", "vx10")
    assert "02:00:00:00:00:0b dst 192.0.2.12" in table


def test_tcp_passes_in_both_directions(mixed: RunningLab) -> None:
    server = mixed.start("k4", "iperf3", "-s", "-1")

    def listens() -> None:
        assert ":5201" in mixed.run("k4", "ss", "-ltnH")

    eventually(listens)
    mixed.run("A", "iperf3", "-c", "10.0.0.99", "-t", "1", "--bidir")
    server.communicate(timeout=10)
