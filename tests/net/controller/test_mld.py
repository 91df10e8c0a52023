"""MLD of real Linux kernels: neighbour discovery, MLDv1, a bridge as querier."""

from __future__ import annotations

import signal

import pytest

from tests.net.controller.one_switch import IPV6, OneSwitch
from tests.support.ovs_sandbox import Host
from tests.support.poll import eventually

ALL_NODES = "ff02::1"

pytestmark = pytest.mark.parametrize("family", [IPV6], ids=str)


def ping(host: Host, other: Host) -> None:
    """A ping that begins with neighbour discovery."""
    host.run("ip", "neigh", "flush", "all")
    host.ping(other)


def test_one_of_two_members_leaves(one_switch: OneSwitch) -> None:
    group, (h1, h2, h3) = one_switch.group, one_switch.hosts
    for host in (h2, h3):
        host.join(group)
    one_switch.await_members("p-h2", "p-h3")
    h2.leave(group)
    one_switch.await_members("p-h3")
    h1.send(group, 0)
    h3.await_received([0])
    assert h2.received() == []


def test_mldv1_of_the_kernel_is_snooped_and_left(one_switch: OneSwitch) -> None:
    group, (h1, h2, _) = one_switch.group, one_switch.hosts
    h2.run("sysctl", "-qw", "net.ipv6.conf.eth0.force_mld_version=1")
    h2.join(group)
    one_switch.await_members("p-h2")
    h1.send(group, 0)
    h2.await_received([0])
    h2.leave(group)
    one_switch.await_members()


def test_neighbour_discovery_and_all_nodes_need_no_report(one_switch: OneSwitch) -> None:
    hosts = one_switch.hosts
    for host in hosts:
        for other in hosts:
            if other is not host:
                ping(host, other)
    hosts[0].send(ALL_NODES, 0, 3)
    for host in hosts[1:]:
        host.await_received([0, 1, 2])
    assert one_switch.sandbox.ask("groups") == []


def test_duplicate_addresses_are_detected_over_the_switch(one_switch: OneSwitch) -> None:
    h1, h2, _ = one_switch.hosts
    h2.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1")
    h2.run("ip", "address", "add", f"{h1.address}/64", "dev", "eth0")

    def check() -> None:
        assert "dadfailed" in h2.run("ip", "-6", "address", "show", "dev", "eth0")

    eventually(check, within=5)


def test_the_querier_keeps_members_beyond_the_ageing_time(one_switch: OneSwitch) -> None:
    """Two hosts that stop sending expire one after the other; one that answers stays a member."""
    sandbox, group, (h1, h2, h3) = one_switch.sandbox, one_switch.group, one_switch.hosts
    for host in (h2, h3):
        host.join(group)
    one_switch.await_members("p-h2", "p-h3")
    sandbox.kill_controller(signal.SIGTERM)
    sandbox.start_controller("ryu", "--query-interval", "1", "--query-response", "0.5")
    sandbox.await_ready()
    one_switch.await_members("p-h2", "p-h3")
    h3.stop_sending()
    one_switch.await_members("p-h2")
    h1.join(group)
    one_switch.await_members("p-h1", "p-h2")
    h1.send(group, 0)
    h1.stop_sending()
    one_switch.await_members("p-h2")
    h2.await_received([0])


def test_another_querier_gets_every_group_and_all_reports(one_switch: OneSwitch) -> None:
    """A Linux bridge queries from its link-local address, so its port is a router port."""
    sandbox, group, (h1, h2, h3) = one_switch.sandbox, one_switch.group, one_switch.hosts
    # A query each second at the start: the first ones can precede the bridge's link-local address.
    startup = ["mcast_startup_query_interval", "100", "mcast_startup_query_count", "12"]
    querier = ["mcast_querier", "1", *startup]
    h3.run("ip", "link", "add", "br0", "type", "bridge", *querier)
    h3.run("ip", "link", "set", "eth0", "master", "br0")
    h3.run("ip", "link", "set", "br0", "up")

    def is_router() -> None:
        routers = [row["name"] for row in sandbox.ask("ports") if row["router"]]
        assert routers == ["p-h3"], sandbox.log_tail()

    eventually(is_router, within=15)
    h2.join(group)
    one_switch.await_members("p-h2", "p-h3")
    before = h3.frames()
    h1.send(group, 0, 50)
    h2.await_received(list(range(50)))

    def all_received() -> None:
        assert h3.frames() - before >= 50

    eventually(all_received, within=5)

    def is_reported() -> None:
        assert group in h3.run("bridge", "mdb", "show", "dev", "br0")

    eventually(is_reported, within=5)
