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
Tree = tuple[OvsSandbox, list[Host]]
PLACES = {"h1": "s2", "h2": "s3", "h3": "s3", "h4": "s1"}
ONE_MEMBER = {1: {"s1-s3"}, 2: {"s2-s1"}, 3: {"p-h2"}}


@pytest.fixture
def tree() -> Iterator[Tree]:
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
        assert "Traceback" not in sandbox.log_tail()


def await_links(sandbox: OvsSandbox) -> None:
    def check() -> None:
        links = {row["name"] for row in sandbox.ask("ports") if row["kind"] == "link"}
        assert links == {"s1-s2", "s2-s1", "s1-s3", "s3-s1"}, sandbox.log_tail()

    eventually(check, within=15)


def test_group_data_takes_only_the_links_towards_members(tree: Tree) -> None:
    sandbox, (h1, h2, h3, h4) = tree
    h2.join(GROUP)
    sandbox.await_members(GROUP, ONE_MEMBER)
    before = {host.name: host.frames() for host in (h3, h4)}
    h1.send(GROUP, 0, 50)
    h2.await_received(list(range(50)))
    assert h3.frames() - before["h3"] < 50
    assert h4.frames() - before["h4"] < 50
    h4.join(GROUP)
    expected = {1: {"p-h4", "s1-s3"}, 2: {"s2-s1"}, 3: {"p-h2", "s3-s1"}}
    sandbox.await_members(GROUP, expected)
    h3.send(GROUP, 50, 5)
    h2.await_received(list(range(55)))
    h4.await_received(list(range(50, 55)))


def test_every_host_reaches_every_other(tree: Tree) -> None:
    _, hosts = tree
    for host in hosts:
        for other in hosts:
            if other is not host:
                host.ping(other)


def test_a_killed_controller_restarts_without_changing_a_flow(tree: Tree) -> None:
    sandbox, (h1, h2, *_) = tree
    h2.join(GROUP)
    sandbox.await_members(GROUP, ONE_MEMBER)
    h1.ping(h2)
    flows = {name: sandbox.flows(name) for name in ("s1", "s2", "s3")}
    sandbox.kill_controller(signal.SIGKILL)
    h1.send(GROUP, 0, 5)
    h2.await_received(list(range(5)))
    sandbox.start_controller("ryu")
    sandbox.await_ready()
    await_links(sandbox)
    sandbox.await_members(GROUP, ONE_MEMBER)
    assert {name: sandbox.flows(name) for name in flows} == flows
    h1.send(GROUP, 5, 5)
    h2.await_received(list(range(10)))


def test_memberships_expire_when_no_host_answers(tree: Tree) -> None:
    sandbox, (_, h2, *_) = tree
    h2.join(GROUP)
    sandbox.await_members(GROUP, ONE_MEMBER)
    sandbox.kill_controller(signal.SIGTERM)
    sandbox.start_controller("ryu", "--query-interval", "1", "--query-response", "0.5")
    sandbox.await_ready()
    sandbox.await_members(GROUP, ONE_MEMBER)
    h2.stop_sending()
    sandbox.await_members(GROUP, {1: set(), 2: set(), 3: set()})
