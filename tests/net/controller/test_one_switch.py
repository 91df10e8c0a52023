"""One real switch under each framework and address family: group data, learning, restarts."""

from __future__ import annotations

import signal

import pytest

from tests.net.controller.one_switch import IPV4, IPV6, Family, OneSwitch
from tests.support.poll import eventually

both_frameworks = pytest.mark.parametrize("framework", ["ryu", "os-ken"])
both_families = pytest.mark.parametrize("family", [IPV4, IPV6], ids=str)


@both_frameworks
@both_families
def test_group_data_reaches_members_only_until_they_leave(one_switch: OneSwitch) -> None:
    sandbox, group, (h1, h2, h3) = one_switch.sandbox, one_switch.group, one_switch.hosts
    h2.join(group)
    one_switch.await_members("p-h2")
    before = h3.frames()
    h1.send(group, 0, 50)
    h2.await_received(list(range(50)))
    assert h3.frames() - before < 50
    one_switch.await_reporters(h2)
    rows = [row for row in sandbox.ask("groups") if row["group"] == group]
    reporters = [h2.reporting_address()]
    assert [row["ports"] for row in rows] == [[{"port": 2, "name": "p-h2", "reporters": reporters}]]
    h2.leave(group)
    one_switch.await_members()
    h1.send(group, 50)
    h1.run("ip", "neigh", "flush", "all")
    h1.ping(h2)  # sent after the datagram, so the datagram would have arrived
    assert h2.received() == list(range(50))


@both_frameworks
@pytest.mark.parametrize("version", [1, 2])
def test_older_igmp_versions_of_the_kernel_are_snooped(one_switch: OneSwitch, version: int) -> None:
    h1, h2, _ = one_switch.hosts
    h2.run("sysctl", "-qw", f"net.ipv4.conf.eth0.force_igmp_version={version}")
    h2.join(one_switch.group)
    one_switch.await_members("p-h2")
    h1.send(one_switch.group, 0)
    h2.await_received([0])


@both_frameworks
def test_unicast_is_learned_and_the_tables_contain_only_the_hosts(one_switch: OneSwitch) -> None:
    sandbox, (h1, h2, _) = one_switch.sandbox, one_switch.hosts
    h1.run("ping", "-c2", "-i0.2", "-W2", h2.address)
    hosts = {row["mac"]: row["port"] for row in sandbox.ask("hosts")}
    assert sorted(hosts.values()) == [1, 2]
    assert [row["kind"] for row in sandbox.ask("ports")] == ["edge"] * 3


@both_frameworks
@both_families
def test_a_killed_controller_restarts_without_changing_a_flow(
    one_switch: OneSwitch, family: Family
) -> None:
    sandbox, group, (h1, h2, _) = one_switch.sandbox, one_switch.group, one_switch.hosts
    h2.join(group)
    one_switch.await_members("p-h2")
    for host, other in ((h1, h2), (h2, h1)):
        host.run("ip", "neigh", "flush", "all")
        host.ping(other)
    flows = sandbox.flows("s1")
    sandbox.kill_controller(signal.SIGKILL)
    h1.send(group, 0, 5)
    h2.await_received(list(range(5)))
    h1.ping(h2)
    sandbox.start_controller(one_switch.framework)
    sandbox.await_ready()
    one_switch.await_reporters(h2)
    after = sandbox.flows("s1")
    assert set(flows) <= set(after)
    if family is IPV4:  # an IPv6 host can send something of its own and be learned meanwhile
        assert after == flows
        assert len(sandbox.ask("hosts")) == 2
    h1.send(group, 5, 5)
    h2.await_received(list(range(10)))


@both_frameworks
def test_foreign_flows_are_removed_when_the_controller_restarts(one_switch: OneSwitch) -> None:
    sandbox = one_switch.sandbox
    flows = sandbox.flows("s1")
    sandbox.kill_controller(signal.SIGKILL)
    rule = "priority=500,tcp,tp_dst=80,actions=drop"
    sandbox.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "s1", rule)
    sandbox.start_controller(one_switch.framework)
    sandbox.await_ready()
    assert sandbox.flows("s1") == flows


@both_frameworks
def test_a_switch_that_lost_its_flows_gets_them_again(one_switch: OneSwitch) -> None:
    sandbox, group, (h1, h2, _) = one_switch.sandbox, one_switch.group, one_switch.hosts
    h2.join(group)
    one_switch.await_members("p-h2")
    sandbox.kill_vswitch()
    sandbox.start_vswitch()

    def check() -> None:
        assert any(group in flow and "output" in flow for flow in sandbox.flows("s1"))

    eventually(check, within=15)
    sandbox.await_ready()
    h1.send(group, 0)
    h2.await_received([0])


@both_frameworks
def test_sigterm_ends_the_controller_with_status_0(one_switch: OneSwitch) -> None:
    assert one_switch.sandbox.kill_controller(signal.SIGTERM) == 0
    assert not one_switch.sandbox.control.exists()


@both_frameworks
def test_a_port_in_use_is_an_error_of_one_line(one_switch: OneSwitch) -> None:
    sandbox = one_switch.sandbox
    first = sandbox.controller
    sandbox.control = sandbox.directory / "second.sock"
    sandbox.start_controller(one_switch.framework)
    assert sandbox.controller is not None
    assert sandbox.controller.wait(timeout=10) == 1
    sandbox.controller = first
    last = sandbox.log_tail().splitlines()[-1]
    assert last == "controller: cannot listen on 127.0.0.1:6653: Address already in use"
