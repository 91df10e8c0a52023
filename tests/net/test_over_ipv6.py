"""The lab of the demo over IPv6: the underlay's switches snoop MLD."""

from __future__ import annotations

import pytest

from vxlab.control import rpc
from vxlab.testing import RunningLab, eventually, vxlab_ok

pytestmark = pytest.mark.vxlab("three_vteps", underlay="ipv6")

GROUP = "ff05::ef01:10a"
HV2, HV3 = "2001:db8::c", "2001:db8::d"
EVERYBODY = ["hv1", "hv2", "hv3"]


def assert_members(lab: RunningLab, *names: str) -> None:
    assert lab.listing("groups") == [
        {"vni": 10, "group": GROUP, "joined": list(names), "snooped": {"s1": list(names)}}
    ]


def flows(lab: RunningLab) -> list[str]:
    """The flows of s1 without counters and times."""
    text = lab.run("s1", "ovs-ofctl", "-OOpenFlow13", "--no-stats", "dump-flows", "s1")
    return sorted(line.strip() for line in text.splitlines() if "cookie" in line)


def test_groups_are_joined_and_snooped(lab: RunningLab) -> None:
    assert_members(lab, *EVERYBODY)
    assert f"s1: {' '.join(EVERYBODY)}" in vxlab_ok("groups", "--lab", lab.name)


def test_a_restarted_controller_restores_the_members_and_changes_no_flow(lab: RunningLab) -> None:
    for target in (HV2, HV3):
        lab.ping("hv1", target)
    before = flows(lab)
    assert any(GROUP in flow and "output:1,output:2,output:3" in flow for flow in before)
    vxlab_ok("restart", "--lab", lab.name, "controller")
    eventually(lambda: assert_members(lab, *EVERYBODY))
    assert flows(lab) == before


def test_a_hypervisor_without_the_vni_gets_no_copy(lab: RunningLab) -> None:
    captures = lab.record("hv2:hv2-eth0", "hv3:hv3-eth0")
    agent = lab.handle.directory.agent_socket("hv3")
    rpc.ask(agent, "vni_del", vni=10)
    eventually(lambda: assert_members(lab, "hv1", "hv2"))
    lab.run("A", "ip", "neigh", "flush", "all")
    lab.ping("A", "10.0.0.2")
    lab.run("hv1", "ip", "neigh", "flush", "all")
    for target in (HV2, HV3):  # arrives after anything flooded; neighbour discovery goes to all
        lab.ping("hv1", target)
    flooded = [p for p in captures.vxlan("hv2-eth0") if p.destination == GROUP]
    assert flooded and captures.vxlan("hv3-eth0") == []
    captures.close()
    rpc.ask(agent, "vni_add", vni=10, group=GROUP, vlan=1)
    eventually(lambda: assert_members(lab, *EVERYBODY))
    lab.run("A", "ip", "neigh", "flush", "all")
    lab.ping("A", "10.0.0.3")
