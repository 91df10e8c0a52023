"""One real switch, three hosts, each framework: joins by the kernel, group data, recovery.

h1 192.0.2.11 --- s1 --- h2 192.0.2.12
                   |
                  h3 192.0.2.13
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.ovs_sandbox import Host, OvsSandbox
from tests.support.poll import eventually

GROUP = "239.1.1.10"
Scene = tuple[OvsSandbox, list[Host]]


@pytest.fixture(params=["ryu", "os-ken"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with OvsSandbox() as sandbox:
        sandbox.start_controller(request.param)
        sandbox.await_listening()
        sandbox.add_switch("s1", 1)
        hosts = [sandbox.add_host(f"h{n}", "s1", f"192.0.2.1{n}") for n in (1, 2, 3)]
        sandbox.await_ready()
        yield sandbox, hosts
        assert "Traceback" not in sandbox.complain()


def await_members(sandbox: OvsSandbox, *names: str, dpid: int = 1) -> None:
    def check() -> None:
        assert sandbox.members(dpid, GROUP) == set(names), sandbox.complain()

    eventually(check, within=10)


def await_heard(host: Host, numbers: list[int]) -> None:
    def check() -> None:
        assert host.heard() == numbers

    eventually(check, within=5)


def test_group_data_reaches_members_only_until_they_leave(scene: Scene) -> None:
    sandbox, (h1, h2, h3) = scene
    h2.join(GROUP)
    await_members(sandbox, "p-h2")
    before = h3.received()
    h1.send(GROUP, 0, 20)
    await_heard(h2, list(range(20)))
    assert h3.received() - before < 20
    row = sandbox.ask("groups")[0]
    assert row["ports"] == [{"port": 2, "name": "p-h2", "reporters": [h2.address]}]
    h2.leave(GROUP)
    await_members(sandbox)
    h1.send(GROUP, 20)
    h1.run("ping", "-c1", "-W2", h2.address)
    assert h2.heard() == list(range(20))


@pytest.mark.parametrize("version", [1, 2])
def test_older_versions_of_the_kernel_s_igmp_are_snooped(scene: Scene, version: int) -> None:
    sandbox, (h1, h2, _) = scene
    h2.run("sysctl", "-qw", f"net.ipv4.conf.eth0.force_igmp_version={version}")
    h2.join(GROUP)
    await_members(sandbox, "p-h2")
    h1.send(GROUP, 0)
    await_heard(h2, [0])


def test_unicast_is_learned_and_the_tables_hold_only_the_hosts(scene: Scene) -> None:
    sandbox, (h1, h2, _) = scene
    h1.run("ping", "-c2", "-i0.2", "-W2", h2.address)
    hosts = {row["mac"]: row["port"] for row in sandbox.ask("hosts")}
    assert sorted(hosts.values()) == [1, 2]
    assert [row["kind"] for row in sandbox.ask("ports")] == ["edge"] * 3


def test_a_killed_controller_returns_without_touching_a_flow(scene: Scene) -> None:
    sandbox, (h1, h2, _) = scene
    h2.join(GROUP)
    await_members(sandbox, "p-h2")
    h1.run("ping", "-c2", "-i0.2", "-W2", h2.address)
    framework = sandbox.ask("ready")["framework"]
    flows = sandbox.flows("s1")
    sandbox.kill_controller(signal.SIGKILL)
    h1.send(GROUP, 0, 5)
    await_heard(h2, list(range(5)))
    h1.run("ping", "-c1", "-W2", h2.address)
    sandbox.start_controller(framework)
    sandbox.await_ready()
    assert sandbox.flows("s1") == flows
    h1.send(GROUP, 5, 5)
    await_heard(h2, list(range(10)))

    def check() -> None:
        assert sandbox.ask("groups")[0]["ports"][0]["reporters"] == [h2.address]

    eventually(check, within=5)
    assert len(sandbox.ask("hosts")) == 2


def test_foreign_flows_are_removed_when_the_controller_returns(scene: Scene) -> None:
    sandbox, _ = scene
    flows = sandbox.flows("s1")
    framework = sandbox.ask("ready")["framework"]
    sandbox.kill_controller(signal.SIGKILL)
    rule = "priority=500,tcp,tp_dst=80,actions=drop"
    sandbox.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "s1", rule)
    sandbox.start_controller(framework)
    sandbox.await_ready()
    assert sandbox.flows("s1") == flows


def test_a_switch_that_lost_its_flows_gets_them_again(scene: Scene) -> None:
    sandbox, (h1, h2, _) = scene
    h2.join(GROUP)
    await_members(sandbox, "p-h2")
    sandbox.kill_vswitch()
    sandbox.start_vswitch()

    def check() -> None:
        assert any(GROUP in flow and "output" in flow for flow in sandbox.flows("s1"))

    eventually(check, within=15)
    sandbox.await_ready()
    h1.send(GROUP, 0)
    await_heard(h2, [0])


def test_sigterm_ends_it_in_order(scene: Scene) -> None:
    sandbox, _ = scene
    assert sandbox.kill_controller(signal.SIGTERM) == 0
    assert not sandbox.control.exists()


def test_a_port_in_use_is_one_line(scene: Scene) -> None:
    sandbox, _ = scene
    first, framework = sandbox.controller, sandbox.ask("ready")["framework"]
    sandbox.control = sandbox.directory / "second.sock"
    sandbox.start_controller(framework)
    assert sandbox.controller is not None
    assert sandbox.controller.wait(timeout=10) == 1
    sandbox.controller = first
    last = sandbox.complain().splitlines()[-1]
    assert last == "controller: cannot listen on 127.0.0.1:6653: Address already in use"
