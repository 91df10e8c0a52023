"""MLD of real Linux kernels on a real switch: group data, neighbour discovery, leaves, the querier.

h1 2001:db8::11 --- s1 --- h2 2001:db8::12
                     |
                    h3 2001:db8::13
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.ovs_sandbox import Host, OvsSandbox
from tests.support.poll import eventually

GROUP = "ff05::ef01:10a"
ALL_NODES = "ff02::1"
Scene = tuple[OvsSandbox, list[Host]]


both_frameworks = pytest.mark.parametrize("framework", ["ryu", "os-ken"], indirect=True)


@pytest.fixture
def framework(request: pytest.FixtureRequest) -> str:
    """Ryu, unless a test asks for another; the decisions are the same under either."""
    return str(getattr(request, "param", "ryu"))


@pytest.fixture
def scene(framework: str) -> Iterator[Scene]:
    with OvsSandbox() as sandbox:
        sandbox.start_controller(framework)
        sandbox.await_listening()
        sandbox.add_switch("s1", 1)
        hosts = [sandbox.add_host(f"h{n}", "s1", f"2001:db8::1{n}") for n in (1, 2, 3)]
        sandbox.await_ready()
        yield sandbox, hosts
        assert "Traceback" not in sandbox.complain()


def await_members(sandbox: OvsSandbox, *names: str) -> None:
    def check() -> None:
        assert sandbox.members(1, GROUP) == set(names), sandbox.complain()

    eventually(check, within=10)


def await_reporters(sandbox: OvsSandbox, count: int) -> None:
    """The group's members have told their names, which a restored membership has not."""

    def check() -> None:
        rows = [row for row in sandbox.ask("groups") if row["group"] == GROUP]
        reporters = [who for row in rows for port in row["ports"] for who in port["reporters"]]
        assert len(reporters) == count and all(who.startswith("fe80:") for who in reporters)

    eventually(check, within=10)


def await_heard(host: Host, numbers: list[int]) -> None:
    def check() -> None:
        assert host.heard() == numbers

    eventually(check, within=5)


def ping(host: Host, other: Host) -> None:
    host.run("ip", "neigh", "flush", "all")
    host.run("ping", "-c1", "-W2", other.address)


@both_frameworks
def test_group_data_reaches_members_only_until_they_leave(scene: Scene) -> None:
    sandbox, (h1, h2, h3) = scene
    h2.join(GROUP)
    await_members(sandbox, "p-h2")
    before = h3.received()
    h1.send(GROUP, 0, 50)
    await_heard(h2, list(range(50)))
    assert h3.received() - before < 50
    await_reporters(sandbox, 1)
    h2.leave(GROUP)
    await_members(sandbox)
    h1.send(GROUP, 50)
    ping(h1, h2)  # comes behind it
    assert h2.heard() == list(range(50))


def test_one_of_two_members_leaves(scene: Scene) -> None:
    sandbox, (h1, h2, h3) = scene
    for host in (h2, h3):
        host.join(GROUP)
    await_members(sandbox, "p-h2", "p-h3")
    h2.leave(GROUP)
    await_members(sandbox, "p-h3")
    h1.send(GROUP, 0)
    await_heard(h3, [0])
    assert h2.heard() == []


def test_version_1_of_the_kernel_s_mld_is_snooped_and_left(scene: Scene) -> None:
    sandbox, (h1, h2, _) = scene
    h2.run("sysctl", "-qw", "net.ipv6.conf.eth0.force_mld_version=1")
    h2.join(GROUP)
    await_members(sandbox, "p-h2")
    h1.send(GROUP, 0)
    await_heard(h2, [0])
    h2.leave(GROUP)
    await_members(sandbox)


def test_neighbours_find_each_other_and_all_nodes_hear_without_any_report(scene: Scene) -> None:
    sandbox, hosts = scene
    for host in hosts:
        for other in hosts:
            if other is not host:
                ping(host, other)
    hosts[0].send(ALL_NODES, 0, 3)
    for host in hosts[1:]:
        await_heard(host, [0, 1, 2])
    assert sandbox.ask("groups") == []


def test_duplicate_addresses_are_detected_over_the_switch(scene: Scene) -> None:
    _, (h1, h2, _) = scene
    h2.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1")
    h2.run("ip", "address", "add", f"{h1.address}/64", "dev", "eth0")

    def check() -> None:
        assert "dadfailed" in h2.run("ip", "-6", "address", "show", "dev", "eth0")

    eventually(check, within=5)


@both_frameworks
def test_a_killed_controller_returns_without_touching_a_flow(scene: Scene, framework: str) -> None:
    sandbox, (h1, h2, _) = scene
    h2.join(GROUP)
    await_members(sandbox, "p-h2")
    for host in (h1, h2):
        ping(host, h2 if host is h1 else h1)
    flows = sandbox.flows("s1")
    sandbox.kill_controller(signal.SIGKILL)
    h1.send(GROUP, 0, 5)
    await_heard(h2, list(range(5)))
    ping(h1, h2)
    sandbox.start_controller(framework)
    sandbox.await_ready()
    await_reporters(sandbox, 1)
    assert set(flows) <= set(sandbox.flows("s1"))
    h1.send(GROUP, 5, 5)
    await_heard(h2, list(range(10)))


def strike_dumb(host: Host) -> None:
    """Let it send nothing from now on, no report either."""
    host.run("tc", "qdisc", "replace", "dev", "eth0", "root", "pfifo", "limit", "0")


def test_the_querier_keeps_members_beyond_the_ageing_time(scene: Scene) -> None:
    """Two others, dumb one after the other, age meanwhile: it is by its answers that one stays."""
    sandbox, (h1, h2, h3) = scene
    for host in (h2, h3):
        host.join(GROUP)
    await_members(sandbox, "p-h2", "p-h3")
    sandbox.kill_controller(signal.SIGTERM)
    sandbox.start_controller("ryu", "--query-interval", "1", "--query-response", "0.5")
    sandbox.await_ready()
    await_members(sandbox, "p-h2", "p-h3")
    strike_dumb(h3)
    await_members(sandbox, "p-h2")
    h1.join(GROUP)
    await_members(sandbox, "p-h1", "p-h2")
    h1.send(GROUP, 0)
    strike_dumb(h1)
    await_members(sandbox, "p-h2")
    await_heard(h2, [0])


def test_a_real_querier_gets_every_group_and_is_told_of_the_members(scene: Scene) -> None:
    """Linux' own bridge asks from its link-local address: a router is behind that port."""
    sandbox, (h1, h2, h3) = scene
    # A query each second from the start: the first ones may come before the bridge has an address.
    startup = ["mcast_startup_query_interval", "100", "mcast_startup_query_count", "12"]
    querier = ["mcast_querier", "1", *startup]
    h3.run("ip", "link", "add", "br0", "type", "bridge", *querier)
    h3.run("ip", "link", "set", "eth0", "master", "br0")
    h3.run("ip", "link", "set", "br0", "up")

    def is_router() -> None:
        routers = [row["name"] for row in sandbox.ask("ports") if row["router"]]
        assert routers == ["p-h3"], sandbox.complain()

    eventually(is_router, within=15)
    h2.join(GROUP)
    await_members(sandbox, "p-h2", "p-h3")
    before = h3.received()
    h1.send(GROUP, 0, 50)
    await_heard(h2, list(range(50)))

    def all_received() -> None:
        assert h3.received() - before >= 50

    eventually(all_received, within=5)

    def told() -> None:
        assert GROUP in h3.run("bridge", "mdb", "show", "dev", "br0")

    eventually(told, within=5)
