"""Three real switches in a tree: links are found, group data takes only the links it needs.

h1 192.0.2.11 --- s2 --- s1 --- s3 --- h2 192.0.2.12
                         |       |
          h4 192.0.2.14 -+       +-- h3 192.0.2.13
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.ovs_sandbox import Host, OvsSandbox
from tests.support.poll import eventually

GROUP = "239.1.1.10"
Scene = tuple[OvsSandbox, list[Host]]
PLACES = {"h1": "s2", "h2": "s3", "h3": "s3", "h4": "s1"}


@pytest.fixture
def scene() -> Iterator[Scene]:
    with OvsSandbox() as sandbox:
        sandbox.start_controller("ryu")
        sandbox.await_listening()
        for dpid in (1, 2, 3):
            sandbox.add_switch(f"s{dpid}", dpid)
        sandbox.add_link("s1", "s2")
        sandbox.add_link("s1", "s3")
        hosts = [
            sandbox.add_host(name, switch, f"192.0.2.1{name[1]}") for name, switch in PLACES.items()
        ]
        sandbox.await_ready()
        await_links(sandbox)
        yield sandbox, hosts
        assert "Traceback" not in sandbox.complain()


def await_links(sandbox: OvsSandbox) -> None:
    def check() -> None:
        links = {row["name"] for row in sandbox.ask("ports") if row["kind"] == "link"}
        assert links == {"s1-s2", "s2-s1", "s1-s3", "s3-s1"}, sandbox.complain()

    eventually(check, within=15)


def await_members(sandbox: OvsSandbox, expected: dict[int, set[str]]) -> None:
    def check() -> None:
        found = {dpid: sandbox.members(dpid, GROUP) for dpid in expected}
        assert found == expected, sandbox.complain()

    eventually(check, within=10)


def await_heard(host: Host, numbers: list[int]) -> None:
    def check() -> None:
        assert host.heard() == numbers

    eventually(check, within=5)


ONE_MEMBER = {1: {"s1-s3"}, 2: {"s2-s1"}, 3: {"p-h2"}}


def test_group_data_takes_only_the_links_that_lead_to_members(scene: Scene) -> None:
    sandbox, (h1, h2, h3, h4) = scene
    h2.join(GROUP)
    await_members(sandbox, ONE_MEMBER)
    before = {host.name: host.received() for host in (h3, h4)}
    h1.send(GROUP, 0, 50)
    await_heard(h2, list(range(50)))
    assert h3.received() - before["h3"] < 50
    assert h4.received() - before["h4"] < 50
    h4.join(GROUP)
    await_members(sandbox, {1: {"p-h4", "s1-s3"}, 2: {"s2-s1"}, 3: {"p-h2", "s3-s1"}})
    h3.send(GROUP, 50, 5)
    await_heard(h2, list(range(55)))
    await_heard(h4, list(range(50, 55)))


def test_everybody_reaches_everybody(scene: Scene) -> None:
    _, hosts = scene
    for host in hosts:
        for other in hosts:
            if other is not host:
                host.run("ping", "-c1", "-W2", other.address)


def test_a_killed_controller_returns_without_touching_a_flow(scene: Scene) -> None:
    sandbox, (h1, h2, *_) = scene
    h2.join(GROUP)
    await_members(sandbox, ONE_MEMBER)
    h1.run("ping", "-c1", "-W2", h2.address)
    flows = {name: sandbox.flows(name) for name in ("s1", "s2", "s3")}
    sandbox.kill_controller(signal.SIGKILL)
    h1.send(GROUP, 0, 5)
    await_heard(h2, list(range(5)))
    sandbox.start_controller("ryu")
    sandbox.await_ready()
    await_links(sandbox)
    await_members(sandbox, ONE_MEMBER)
    assert {name: sandbox.flows(name) for name in flows} == flows
    h1.send(GROUP, 5, 5)
    await_heard(h2, list(range(10)))


def test_memberships_age_when_nobody_answers(scene: Scene) -> None:
    sandbox, (_, h2, *_) = scene
    h2.join(GROUP)
    await_members(sandbox, ONE_MEMBER)
    sandbox.kill_controller(signal.SIGTERM)
    sandbox.start_controller("ryu", "--query-interval", "1", "--query-response", "0.5")
    sandbox.await_ready()
    await_members(sandbox, ONE_MEMBER)
    h2.run("tc", "qdisc", "replace", "dev", "eth0", "root", "pfifo", "limit", "0")  # struck dumb
    await_members(sandbox, {1: set(), 2: set(), 3: set()})
