"""Topologies are data: what cannot be is refused in a line before anything starts."""

from __future__ import annotations

import ipaddress
import re
from typing import ClassVar

import pytest

from vtep import config
from vtep.constants import LAST_VLAN
from vxlab.errors import UsageError
from vxlab.topology import registry
from vxlab.topology.fabric import expected_snooping
from vxlab.topology.families import mac_of
from vxlab.topology.overlay import OverlayTopo
from vxlab.topology.plan import Hypervisor, Segment

SITE_LOCAL_GROUPS = ipaddress.IPv6Network("ff05::/16")


@pytest.mark.parametrize("name", registry.names())
def test_each_topology_builds_with_its_defaults(name: str) -> None:
    topo = registry.build(name, {})
    rows = list(topo.rows())
    assert {row["kind"] for row in rows} == {"vm", "hypervisor", "bridge", "switch"}
    macs = {(row["mac"], row["vni"]) for row in rows if row["kind"] == "vm"}
    assert len(macs) == len(topo.vms)  # a MAC is one within a VNI


def test_the_scene_is_as_it_is_promised() -> None:
    topo = registry.build("three_vteps", {})
    assert [h.underlay for h in topo.hypervisors.values()] == [f"192.0.2.{n}" for n in (11, 12, 13)]
    assert {vm.name: (vm.ip, vm.vlan, vm.segment.vni) for vm in topo.vms.values()} == {
        "A": ("10.0.0.1/24", 1, 10),
        "B": ("10.0.0.2/24", 1, 10),
        "C": ("10.0.0.3/24", 1, 10),
    }
    assert topo.segments[10].group == "239.1.1.10"


class Wrong(OverlayTopo):
    """A topology with one thing that cannot be."""

    values: ClassVar[tuple] = ()

    def lay(self) -> None:
        """Lay out what the test asks for."""
        vni, group, ip, mac, vlan = self.values
        segment = self.segment(vni, group)
        hypervisor = self.hypervisor("hv1", self.underlay_switch("s1"))
        self.vm("A", hypervisor, segment, ip, vlan=vlan, mac=mac)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((2**24, "239.1.1.1", "10.0.0.1/24", None, None), "VNI 16777216: allowed is 0 to 16777215"),
        ((1, "10.1.1.1", "10.0.0.1/24", None, None), "group 10.1.1.1: allowed is an IPv4 multi"),
        ((1, "ff05::1", "10.0.0.1/24", None, None), "group ff05::1: allowed is an IPv4 one, or"),
        ((1, "239.1.1.1", "10.0.0.300/24", None, None), "ip 10.0.0.300/24: allowed is an IPv4"),
        ((1, "239.1.1.1", "10.0.0.1/24", "01:00:00:00:00:01", None), "mac 01:00:00:00:00:01"),
        ((1, "239.1.1.1", "10.0.0.1/24", None, 4095), "VLAN 4095: allowed is 1 to 4094"),
    ],
)
def test_what_cannot_be_is_one_line(
    values: tuple, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wrong, "values", values)
    with pytest.raises(UsageError, match=re.escape(words)):
        Wrong()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nonsense": "1"}, "--set nonsense: unknown; allowed: ageing"),
        ({"ageing": "soon"}, "allowed is a whole number from 1"),
        ({"ageing.hv4": "1"}, "no such hypervisor; allowed: hv1, hv2, hv3"),
        ({"ipv6.hv1": "true"}, "one value for the whole lab"),
        ({"group": "10.0.0.1"}, "allowed is an IPv4 multicast group"),
        ({"group": "fe80::1"}, "allowed is an IPv4 multicast group, .* or one of IPv6"),
        ({"underlay": "ipv6", "group": "ff01::1"}, "or one of IPv6, of scope 2 and wider"),
        ({"group.hv3": "ff05::1"}, "--set group.hv3 = ff05::1: allowed is an IPv4 multicast group"),
        ({"underlay": "ipv6", "group": "239.1.1.1"}, "an IPv6 multicast group, since underlay is"),
        ({"underlay": "ipx"}, "allowed is ipv4 or ipv6"),
        ({"underlay.hv1": "ipv6"}, "one value for the whole lab"),
    ],
)
def test_a_wrong_setting_names_key_value_and_bounds(settings: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        registry.build("three_vteps", settings)


def test_a_setting_for_one_hypervisor_wins_over_that_for_all() -> None:
    topo = registry.build("three_vteps", {"ageing": "60", "ageing.hv2": "5"})
    assert [h.options["ageing"] for h in topo.hypervisors.values()] == [60, 5, 60]


def test_vlans_go_on_where_a_trunk_is_full() -> None:
    hypervisor = Hypervisor("hv1", 1)
    places = [hypervisor.attach(Segment(n, "239.1.1.1"), None) for n in range(LAST_VLAN + 1)]
    assert places[0] == (0, 1)
    assert places[LAST_VLAN - 1] == (0, LAST_VLAN)
    assert places[LAST_VLAN] == (1, 1)
    with pytest.raises(UsageError, match="VLAN 1 already carries VNI 0"):
        hypervisor.attach(Segment(99_999, "239.1.1.1"), 1)


def test_in_a_tree_every_switch_is_to_know_the_way_to_every_member() -> None:
    topo = registry.build("many_vteps", {"vteps": "4", "vms": "1", "switches": "3"})
    root, left, right = (expected_snooping(topo)[number]["239.1.2.1"] for number in (1, 2, 3))
    assert len(root) == 2  # towards both leaves
    assert len(left) == len(right) == 3  # its own two, and the root


def test_beyond_some_hypervisors_the_underlays_neighbours_are_told() -> None:
    few = registry.build("many_vteps", {"vteps": "12"})
    many = registry.build("many_vteps", {"vteps": "13"})
    assert not any(h.neighbours for h in few.hypervisors.values())
    assert many.hypervisors["hv1"].neighbours["192.0.2.12"] == mac_of("192.0.2.12")
    assert all(len(h.neighbours) == 12 for h in many.hypervisors.values())


@pytest.mark.parametrize("name", registry.names())
def test_over_ipv6_each_topology_has_other_addresses_and_the_same_vms(name: str) -> None:
    four, six = (registry.build(name, {"underlay": family}) for family in ("ipv4", "ipv6"))
    assert six.vms.keys() == four.vms.keys()
    for number, hypervisor in enumerate(six.hypervisors.values(), start=1):
        assert hypervisor.underlay == f"2001:db8::{10 + number:x}"
    groups = [segment.group for segment in six.segments.values()]
    assert len(set(groups)) == len({segment.group for segment in four.segments.values()})
    assert all(ipaddress.IPv6Address(group) in SITE_LOCAL_GROUPS for group in groups)


def test_the_scene_over_ipv6_is_as_it_is_promised() -> None:
    topo = registry.build("three_vteps", {"underlay": "ipv6", "group.hv3": "ff05::3"})
    segment = topo.segments[10]
    groups = [hypervisor.group_of(segment) for hypervisor in topo.hypervisors.values()]
    assert groups == ["ff05::ef01:10a", "ff05::ef01:10a", "ff05::3"]
    rows = {row["name"]: row for row in topo.rows()}
    assert rows["hv3"]["ip"] == ["2001:db8::d/64"]
    assert rows["hv3"]["mac"] == "02:00:20:01:00:0d"
    assert rows["hv3"]["underlay"] == "2001:db8::d"
    told = config.parse(topo.hypervisors["hv3"].agent_config("/run/hv3.sock"))
    assert (told.underlay.local, told.segments[0].group) == ("2001:db8::d", "ff05::3")


def test_a_group_for_the_whole_lab_is_that_of_its_segments() -> None:
    """A group for one hypervisor is not: the scene then shows that it is in the wrong one."""
    for settings, group in (({"group": "239.9.9.9"}, "239.9.9.9"),
                            ({"group.hv3": "239.9.9.9"}, "239.1.1.10")):  # fmt: skip
        assert registry.build("three_vteps", settings).segments[10].group == group


def test_an_ipv6_group_may_be_written_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wrong, "values", (1, "ff05::9", "10.0.0.1/24", None, None))
    assert Wrong(underlay="ipv6").segments[1].group == "ff05::9"


def test_head_end_replication_over_ipv6_names_the_others() -> None:
    topo = registry.build("three_vteps", {"underlay": "ipv6", "flooding": "head-end"})
    assert topo.hypervisors["hv1"].remotes[10] == ["2001:db8::c", "2001:db8::d"]


@pytest.mark.parametrize(
    ("settings", "mtu"),
    [
        ({}, 1600),
        ({"underlay": "ipv6"}, 1620),
        ({"underlay": "ipv6", "underlay_mtu": "1580"}, 1580),
        ({"underlay_mtu": "1580"}, 1580),
    ],
)
def test_a_longer_outer_header_takes_nothing_from_the_vms(settings: dict, mtu: int) -> None:
    topo = registry.build("three_vteps", settings)
    assert topo.linkInfo("hv1", "s1")["mtu"] == mtu


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {1: {"239.1.1.10": {1, 2, 3}}}),
        ({"underlay": "ipv6"}, {1: {"ff05::ef01:10a": {1, 2, 3}}}),
        ({"group.hv3": "239.9.9.9"}, {1: {"239.1.1.10": {1, 2}, "239.9.9.9": {3}}}),
        ({"flooding": "head-end"}, {1: {}}),
        ({"group": "224.0.0.77"}, {1: {}}),
        ({"underlay": "ipv6", "group": "ff02::77"}, {1: {}}),
        ({"underlay": "ipv6", "group": "ff12::77"}, {1: {"ff12::77": {1, 2, 3}}}),
    ],
)
def test_what_the_switches_must_have_snooped(settings: dict, expected: dict) -> None:
    """Link-local groups are flooded: no switch is waited for."""
    assert expected_snooping(registry.build("three_vteps", settings)) == expected
