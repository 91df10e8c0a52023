"""Two tenants with the same MACs and IPs: each reaches its own, and not a frame crosses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.support.labs import RunningLab, lab
from tests.support.poll import eventually
from vxlab.capture.packets import INBOUND

RED, BLUE = 5010, 5020
FRAMES = 1000
MARK = b"tenant red only"


@pytest.fixture(scope="module")
def tenants() -> Iterator[RunningLab]:
    with lab("two_tenants", "t-tenants") as running:
        yield running


@pytest.mark.parametrize("vni", [RED, BLUE])
def test_each_tenant_reaches_its_own(tenants: RunningLab, vni: int) -> None:
    tenants.all_of_segment_reach_each_other(vni)


def test_the_same_mac_is_learned_once_for_each_vni(tenants: RunningLab) -> None:
    for letter in "RB":
        tenants.ping(f"{letter}1", "10.0.0.4")
    mac = tenants.handle.node("R4")["mac"]
    for vni in (RED, BLUE):
        tenants.assert_row("hv1", vni, mac, "192.0.2.13")


@pytest.mark.parametrize(
    ("kind", "destination"),
    [("broadcast", "ff:ff:ff:ff:ff:ff"), ("unknown unicast", "02:00:00:00:99:99")],
)
def test_a_thousand_floods_of_one_tenant_put_no_frame_on_the_others_ports(
    tenants: RunningLab, kind: str, destination: str
) -> None:
    blue = tenants.captures("B1:B1-eth0", "B2:B2-eth0", "B3:B3-eth0", "B4:B4-eth0")
    red = tenants.captures("R1:R1-eth0", "R2:R2-eth0", "R3:R3-eth0", "R4:R4-eth0")
    source = tenants.handle.node("R1")["mac"]
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

    for batch in range(0, FRAMES, 100):  # bounded bursts: no queue on the way is meant to overflow
        for _ in range(100):
            sender.send(frame)
        eventually(lambda count=batch + 100: arrived(count))
    # Only the marked frames: blue's own ARP probes, seconds after its pings, are no leak.
    assert [seen for seen in blue.look() if MARK in seen.data] == []
    red.close()
    blue.close()
