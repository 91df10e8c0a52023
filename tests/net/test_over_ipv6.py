"""The lab of the scene over IPv6: the underlay's switches know by MLD who is in a group."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.labs import RunningLab, lab, vxlab_ok
from tests.support.poll import eventually
from vxlab.control import rpc

GROUP = "ff05::ef01:10a"
HV2, HV3 = "2001:db8::c", "2001:db8::d"
EVERYBODY = ["hv1", "hv2", "hv3"]


@pytest.fixture(scope="module")
def six() -> Iterator[RunningLab]:
    with lab("three_vteps", "t-six", "underlay=ipv6") as running:
        yield running


def assert_members(lab: RunningLab, *names: str) -> None:
    assert lab.listing("groups") == [
        {"vni": 10, "group": GROUP, "joined": list(names), "snooped": {"s1": list(names)}}
    ]


def flows(lab: RunningLab) -> list[str]:
    """The flows of s1 without what moves: counters and times."""
    text = lab.run("s1", "ovs-ofctl", "-OOpenFlow13", "--no-stats", "dump-flows", "s1")
    return sorted(line.strip() for line in text.splitlines() if "cookie" in line)


def test_groups_are_joined_and_snooped(six: RunningLab) -> None:
    assert_members(six, *EVERYBODY)
    assert f"s1: {' '.join(EVERYBODY)}" in vxlab_ok("groups", "--lab", six.name)


def test_a_controller_that_returns_knows_the_members_and_changes_no_flow(six: RunningLab) -> None:
    for target in (HV2, HV3):
        six.ping("hv1", target)
    before = flows(six)
    assert any(GROUP in flow and "output:1,output:2,output:3" in flow for flow in before)
    vxlab_ok("restart", "--lab", six.name, "controller")
    eventually(lambda: assert_members(six, *EVERYBODY))
    assert flows(six) == before


def test_a_hypervisor_without_the_vni_gets_no_copy(six: RunningLab) -> None:
    captures = six.captures("hv2:hv2-eth0", "hv3:hv3-eth0")
    agent = six.handle.directory.agent_socket("hv3")
    rpc.ask(agent, "vni_del", vni=10)
    eventually(lambda: assert_members(six, "hv1", "hv2"))
    six.run("A", "ip", "neigh", "flush", "all")
    six.ping("A", "10.0.0.2")
    six.run("hv1", "ip", "neigh", "flush", "all")
    for target in (HV2, HV3):  # comes behind what was flooded; neighbour discovery goes to all
        six.ping("hv1", target)
    flooded = [p for p in captures.vxlan("hv2-eth0") if p.destination == GROUP]
    assert flooded and captures.vxlan("hv3-eth0") == []
    captures.close()
    rpc.ask(agent, "vni_add", vni=10, group=GROUP, vlan=1)
    eventually(lambda: assert_members(six, *EVERYBODY))
    six.run("A", "ip", "neigh", "flush", "all")
    six.ping("A", "10.0.0.3")
