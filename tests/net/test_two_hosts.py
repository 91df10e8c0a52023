"""Two hosts and two routers: what students must demonstrate in part 2 of the BADASS project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.l2 import ARP

from tests.support.labs import RunningLab, lab
from vxlab.capture.decode import Encapsulated

GROUP, VNI = "239.1.1.1", 10
ROUTER_1, ROUTER_2 = "192.0.2.11", "192.0.2.12"


@pytest.fixture(scope="module")
def hosts() -> Iterator[RunningLab]:
    with lab("two_hosts", "t-two-hosts") as running:
        yield running


def mac(hosts: RunningLab, host: str) -> str:
    return str(hosts.handle.node(host)["mac"])


@pytest.fixture(scope="module")
def first_ping(hosts: RunningLab) -> list[Encapsulated]:
    """The VXLAN packets on router_1's link of the first ping between the hosts."""
    captures = hosts.captures("router_1:router_1-eth0")
    assert hosts.listing("fdb") == []  # the table is empty: no static entries
    hosts.ping("host_1", "30.1.1.2")
    packets = captures.vxlan("router_1-eth0")
    captures.close()
    return packets


def test_the_addresses_are_those_of_the_project(hosts: RunningLab) -> None:
    rows = {name: hosts.handle.node(name) for name in ("host_1", "host_2", "router_1", "router_2")}
    assert [rows[name]["ip"] for name in ("host_1", "host_2")] == [["30.1.1.1/24"], ["30.1.1.2/24"]]
    assert [rows[name]["underlay"] for name in ("router_1", "router_2")] == [ROUTER_1, ROUTER_2]


def test_both_routers_have_joined_the_group(hosts: RunningLab) -> None:
    members = ["router_1", "router_2"]
    assert hosts.listing("groups") == [
        {"vni": VNI, "group": GROUP, "joined": members, "snooped": {"s1": members}}
    ]


def test_the_arp_request_goes_to_the_group_and_all_else_is_unicast(
    first_ping: list[Encapsulated],
) -> None:
    request = next(p for p in first_ping if ARP in p.inner and p.inner[ARP].op == 1)
    assert (request.source, request.destination, request.vni) == (ROUTER_1, GROUP, VNI)
    assert [p.destination for p in first_ping if p.destination == GROUP] == [GROUP]
    pings = [(p.source, p.destination, p.vni) for p in first_ping if ICMP in p.inner]
    assert pings == [(ROUTER_1, ROUTER_2, VNI), (ROUTER_2, ROUTER_1, VNI)]


def test_both_tables_are_learned_from_it(hosts: RunningLab, first_ping: list[Encapsulated]) -> None:
    assert first_ping
    hosts.assert_row("router_1", VNI, mac(hosts, "host_2"), ROUTER_2)
    hosts.assert_row("router_2", VNI, mac(hosts, "host_1"), ROUTER_1)
    assert {row["kind"] for row in hosts.listing("fdb")} == {"local", "learned"}
