"""Two tenants with the same MACs and IPs: each reaches its own VMs, and no frame crosses."""

from __future__ import annotations

from functools import partial

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.support.poll import eventually
from vxlab.capture.packets import INBOUND
from vxlab.testing import RunningLab

pytestmark = pytest.mark.vxlab("two_tenants")

RED, BLUE = 5010, 5020
FRAMES = 1000
MARK = b"tenant red only"


@pytest.mark.parametrize("vni", [RED, BLUE])
def test_each_tenant_reaches_its_own_vms(lab: RunningLab, vni: int) -> None:
    lab.all_of_segment_reach_each_other(vni)


def test_the_same_mac_is_learned_once_for_each_vni(lab: RunningLab) -> None:
    for letter in "RB":
        lab.ping(f"{letter}1", "10.0.0.4")
    mac = lab.handle.node("R4")["mac"]
    for vni in (RED, BLUE):
        lab.assert_row("hv1", vni, mac, "192.0.2.13")


@pytest.mark.parametrize(
    ("kind", "destination"),
    [("broadcast", "ff:ff:ff:ff:ff:ff"), ("unknown unicast", "02:00:00:00:99:99")],
)
def test_a_thousand_floods_of_one_tenant_put_no_frame_on_the_others_ports(
    lab: RunningLab, kind: str, destination: str
) -> None:
    for vm in ("B1", "B2", "B3", "B4"):
        # Kernels confirm known neighbours by ARP after some seconds. After this, none are known.
        lab.run(vm, "ip", "neigh", "flush", "all")
    blue = lab.record("B1:B1-eth0", "B2:B2-eth0", "B3:B3-eth0", "B4:B4-eth0")
    red = lab.record("R1:R1-eth0", "R2:R2-eth0", "R3:R3-eth0", "R4:R4-eth0")
    source = lab.handle.node("R1")["mac"]
    frame = bytes(Ether(src=source, dst=destination) / IP(dst="10.0.0.99") / UDP(dport=9) / MARK)
    sender = next(capture for capture in red.captures if capture.interface == "R1-eth0")

    def received(interface: str) -> int:
        return sum(
            s.interface == interface and s.direction == INBOUND and MARK in s.data
            for s in red.look()
        )

    def arrived(count: int) -> None:
        got = {name: received(name) for name in ("R2-eth0", "R3-eth0", "R4-eth0")}
        assert set(got.values()) == {count}, got

    for batch in range(0, FRAMES, 100):  # bounded bursts: no queue must overflow
        for _ in range(100):
            sender.send(frame)
        eventually(partial(arrived, batch + 100))
    # Only the marked frames: ARP probes of blue, seconds after its pings, are not a leak.
    assert [seen for seen in blue.look() if MARK in seen.data] == []
    red.close()
    blue.close()
