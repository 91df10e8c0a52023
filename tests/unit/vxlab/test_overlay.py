"""A topology as data: its plan, addresses, options and what its switches must snoop."""

from __future__ import annotations

import enum
import importlib
import ipaddress
import re
from pathlib import Path
from typing import ClassVar

import pytest
from mininet.cli import CLI

import vxlab
from vtep import config
from vtep.constants import LAST_VLAN
from vxlab.errors import UsageError
from vxlab.topology import registry
from vxlab.topology.fabric import Snooping, expected_snooping
from vxlab.topology.families import mac_of
from vxlab.topology.names import CLI_COMMANDS, is_port_of
from vxlab.topology.overlay import OverlayTopo
from vxlab.topology.plan import Hypervisor, OverlaySegment

Options = dict[str, str]
Values = tuple[int, str, str, str | None, int | None]

SITE_LOCAL_GROUPS = ipaddress.IPv6Network("ff05::/16")


@pytest.mark.parametrize("name", registry.names())
def test_each_topology_builds_with_its_defaults(name: str) -> None:
    topo = registry.build(name, {})
    rows = list(topo.rows())
    assert {row["kind"] for row in rows} == {"vm", "hypervisor", "bridge", "switch"}
    macs = {(row["mac"], row["vni"]) for row in rows if row["kind"] == "vm"}
    assert len(macs) == len(topo.vms)  # a MAC is unique in a VNI


def test_three_vteps_has_the_documented_addresses() -> None:
    topo = registry.build("three_vteps", {})
    assert [h.underlay for h in topo.hypervisors.values()] == [f"192.0.2.{n}" for n in (11, 12, 13)]
    assert {vm.name: (vm.ip, vm.vlan, vm.segment.vni) for vm in topo.vms.values()} == {
        "A": ("10.0.0.1/24", 1, 10),
        "B": ("10.0.0.2/24", 1, 10),
        "C": ("10.0.0.3/24", 1, 10),
    }
    assert topo.segments[10].group == "239.1.1.10"


VALID: Values = (1, "ff05::9", "10.0.0.1/24", None, None)  # over IPv6


class OneVm(OverlayTopo):
    """A topology with one VM, of which a test chooses the values."""

    values: ClassVar[Values]

    def lay(self) -> None:
        """VM A of VNI `vni` behind hv1."""
        vni, group, ip, mac, vlan = self.values
        segment = self.segment(vni, group)
        hypervisor = self.hypervisor("hv1", self.underlay_switch("s1"))
        self.vm("A", hypervisor, segment, ip, vlan=vlan, mac=mac)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((2**24, "239.1.1.1", "10.0.0.1/24", None, None), "VNI 16777216: must be a whole number "),
        ((1, "10.1.1.1", "10.0.0.1/24", None, None), "group '10.1.1.1': must be an IPv4 multi"),
        ((1, "ff05::1", "10.0.0.1/24", None, None), "group ff05::1: must be an IPv4 group; "),
        ((1, "239.1.1.1", "10.0.0.300/24", None, None), "'10.0.0.300/24' is not an IP address"),
        ((1, "239.1.1.1", "10.0.0.1/24", "01:00:00:00:00:01", None), "MAC '01:00:00:00:00:01'"),
        ((1, "239.1.1.1", "10.0.0.1/24", None, 4095), "VLAN 4095: must be a whole number from 1 "),
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_line_of_the_word(
    values: Values, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without the registry, as `mn --custom` uses the class."""
    monkeypatch.setattr(OneVm, "values", values, raising=False)
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        OneVm()
    assert re.match(r"tests/unit/vxlab/test_overlay\.py:\d+: ", str(caught.value))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nonsense": "1"}, "--set nonsense: unknown option; must be one of ageing"),
        ({"ageing": "soon"}, "must be a whole number from 1"),
        ({"ageing.hv4": "1"}, "no such hypervisor; must be one of hv1, hv2, hv3"),
        ({"ipv6.hv1": "true"}, "one value for the whole lab"),
        ({"group": "10.0.0.1"}, "must be an IPv4 multicast group"),
        ({"group": "fe80::1"}, "must be an IPv4 multicast group, or an IPv6 one of scope"),
        ({"underlay": "ipv6", "group": "ff01::1"}, "or an IPv6 one of scope 2 or wider"),
        ({"group.hv3": "ff05::1"}, "--set group.hv3 = ff05::1: must be an IPv4 multicast group"),
        ({"underlay": "ipv6", "group": "239.1.1.1"}, "an IPv6 multicast group, since underlay is"),
        ({"underlay": "ipx"}, "must be ipv4 or ipv6"),
        ({"underlay.hv1": "ipv6"}, "one value for the whole lab"),
    ],
)
def test_an_invalid_setting_names_key_value_and_bounds(settings: Options, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        registry.build("three_vteps", settings)


def test_a_setting_for_one_hypervisor_overrides_that_for_all() -> None:
    topo = registry.build("three_vteps", {"ageing": "60", "ageing.hv2": "5"})
    assert [h.options["ageing"] for h in topo.hypervisors.values()] == [60, 5, 60]


def test_a_second_trunk_begins_where_the_vlans_of_the_first_are_used() -> None:
    hypervisor = Hypervisor("hv1", 1)
    places = [hypervisor.attach(OverlaySegment(n, "239.1.1.1"), None) for n in range(LAST_VLAN + 1)]
    assert places[0] == (0, 1)
    assert places[LAST_VLAN - 1] == (0, LAST_VLAN)
    assert places[LAST_VLAN] == (1, 1)
    with pytest.raises(UsageError, match="VLAN 1 already carries VNI 0"):
        hypervisor.attach(OverlaySegment(99_999, "239.1.1.1"), 1)


def test_in_a_tree_every_switch_must_know_the_ports_towards_every_member() -> None:
    topo = registry.build("many_vteps", {"vteps": "4", "vms": "1", "switches": "3"})
    root, left, right = (expected_snooping(topo)[number]["239.1.2.1"] for number in (1, 2, 3))
    assert len(root) == 2  # towards both leaves
    assert len(left) == len(right) == 3  # its own two, and the root


def test_beyond_some_hypervisors_the_neighbours_are_configured_statically() -> None:
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


def test_three_vteps_over_ipv6_has_the_documented_addresses() -> None:
    topo = registry.build("three_vteps", {"underlay": "ipv6", "group.hv3": "ff05::3"})
    segment = topo.segments[10]
    groups = [hypervisor.group_of(segment) for hypervisor in topo.hypervisors.values()]
    assert groups == ["ff05::ef01:10a", "ff05::ef01:10a", "ff05::3"]
    rows = {row["name"]: row for row in topo.rows()}
    assert rows["hv3"]["ip"] == ["2001:db8::d/64"]
    assert rows["hv3"]["mac"] == "02:00:20:01:00:0d"
    assert rows["hv3"]["underlay"] == "2001:db8::d"
    parsed = config.parse(topo.hypervisors["hv3"].agent_config("/run/hv3.sock"))
    assert (parsed.underlay.local, parsed.segments[0].group) == ("2001:db8::d", "ff05::3")


def test_a_group_for_the_whole_lab_is_that_of_its_segments() -> None:
    """A group for one hypervisor does not change its segments' group: the demo compares them."""
    cases: list[tuple[Options, str]] = [
        ({"group": "239.9.9.9"}, "239.9.9.9"),
        ({"group.hv3": "239.9.9.9"}, "239.1.1.10"),
    ]
    for settings, group in cases:
        assert registry.build("three_vteps", settings).segments[10].group == group


def test_an_ipv6_group_may_be_written_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OneVm, "values", VALID, raising=False)
    assert OneVm(underlay="ipv6").segments[1].group == "ff05::9"


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
def test_the_underlays_mtu_has_room_for_the_longer_ipv6_header(settings: Options, mtu: int) -> None:
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
def test_what_the_switches_must_have_snooped(settings: Options, expected: Snooping) -> None:
    """Link-local groups are flooded, so bring-up waits for no switch."""
    assert expected_snooping(registry.build("three_vteps", settings)) == expected


# -- names that are longer than interfaces' names may be


class LongNames(OverlayTopo):
    """Nodes with the longest names."""

    def lay(self) -> None:
        """Two switches, a hypervisor, a machine and a VM."""
        first = self.underlay_switch("a-long-switch01")
        second = self.underlay_switch("a-long-switch02", first)
        hypervisor = self.hypervisor("hypervisor-of-the-first-building", second)
        self.machine("a-machine-in-the-cellar", first, "192.0.2.1/24")
        self.vm(
            "webserver-with-a-long-name", hypervisor, self.segment(1, "239.1.1.1"), "10.0.0.1/8"
        )


@pytest.mark.parametrize("kind", ["python", "linux"])
def test_interface_names_of_long_node_names_fit_and_differ(kind: str) -> None:
    topo = LongNames(vtep=kind)
    names = []
    for one, other, link in topo.iterLinks(withInfo=True):
        ends = ((one, link["port1"], "intfName1"), (other, link["port2"], "intfName2"))
        names += [link[key] for _, _, key in ends]
    assert len(names) == len(set(names)) >= 10
    assert all(len(name) <= 15 for name in names), names
    assert topo.hypervisors["hypervisor-of-the-first-building"].interface in names


def test_short_names_keep_mininets_interface_names() -> None:
    topo = registry.build("three_vteps", {})
    assert topo.hypervisors["hv1"].interface == "hv1-eth0"
    assert topo.hypervisors["hv1"].trunk_interface(1) == "hv1-trunk1"
    link = topo.linkInfo("A", "br1")
    assert (link["intfName1"], link["intfName2"]) == ("A-eth0", "br1-eth2")


def test_the_reserved_commands_are_those_of_mininets_cli() -> None:
    of_mininet = {name.removeprefix("do_") for name in dir(CLI) if name.startswith("do_")}
    assert of_mininet <= CLI_COMMANDS
    assert CLI_COMMANDS - of_mininet == {"events", "fdb", "groups", "stats"}


# -- the registry


def test_a_topology_is_described_by_name_and_by_path(tmp_path: Path) -> None:
    shipped = registry.describe("many_vnis")
    assert shipped.name == "many_vnis"
    assert [option.name for option in shipped.options] == ["vnis", "groups"]
    file = tmp_path / "mine.py"
    text = (registry.FOLDER / "many_vnis.py").read_text()
    file.write_text(text.replace('"many_vnis"', '"mine"'))
    found = registry.describe(str(file))
    assert (found.name, found.summary) == ("mine", shipped.summary)
    assert [option.name for option in found.options] == ["vnis", "groups"]


def test_a_topology_without_a_docstring_has_an_empty_summary(tmp_path: Path) -> None:
    file = tmp_path / "bare.py"
    file.write_text(BARE)
    assert registry.describe(str(file)) == registry.Description("bare", "", ())


BARE = """
from vxlab import OverlayTopo
class Bare(OverlayTopo):
    def lay(self):
        self.hypervisor("hv1", self.underlay_switch("s1"))
topos = {"any": Bare}
"""


def test_a_file_shadows_no_module_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "random.py"
    file.write_text(BARE)
    registry.build(str(file), {})
    assert not hasattr(importlib.import_module("random"), "Bare")


def test_a_folder_of_the_working_directory_does_not_replace_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "topologies").mkdir()
    (tmp_path / "topologies" / "theirs.py").write_text(BARE)
    monkeypatch.chdir(tmp_path)
    assert "theirs" not in registry.names()
    assert "three_vteps" in registry.names()


def test_valid_but_unusual_topologies_are_accepted(tmp_path: Path) -> None:
    """Two networks and two MACs in one VNI, one address in two VNIs, a mask, /31, a class tree."""
    file = tmp_path / "unusual.py"
    file.write_text(UNUSUAL)
    topo = registry.build(str(file), {})
    assert [vm.ip for vm in topo.vms.values()] == [
        "10.0.0.1/24", "10.0.1.1/24", "10.0.0.1/24", "10.0.0.2/24", "10.9.0.0/31",
    ]  # fmt: skip


UNUSUAL = """
from vxlab import OverlayTopo
class Base(OverlayTopo):
    def lay(self):
        red, blue = self.segment(0, "239.1.1.1"), self.segment(16777215, "224.0.0.77")
        s1 = self.underlay_switch("s1")
        hv1, hv2 = self.hypervisor("hv-1.a", s1), self.hypervisor("2", s1)
        self.vm("A", hv1, red, "10.0.0.1/24")
        self.vm("a", hv1, red, "10.0.1.1/24")
        self.vm("B", hv2, blue, "10.0.0.1/24", vlan=4094)
        self.vm("_C"[1:], hv2, blue, "10.0.0.2/255.255.255.0")
        self.vm("D", hv2, blue, "10.9.0.0/31")
class Unusual(Base):
    def __init__(self, **values):
        super().__init__(**values)
topos = {"unusual": Unusual}
"""


def test_a_vni_and_a_vlan_may_be_members_of_an_enum(monkeypatch: pytest.MonkeyPatch) -> None:
    class Number(enum.IntEnum):
        RED = 7

    values = (Number.RED, "239.1.1.1", "10.0.0.1/24", None, Number.RED)
    monkeypatch.setattr(OneVm, "values", values, raising=False)
    topo = OneVm()
    assert (repr(topo.segments[7].vni), repr(topo.vms["A"].vlan)) == ("7", "7")


@pytest.mark.parametrize(
    ("interface", "is_one"),
    [
        ("s1-eth1", True),
        ("s1-eth12", True),
        ("s1-eth", False),
        ("s1", False),
        ("s11-eth1", False),
        ("br1-eth1", False),
    ],
)
def test_the_ports_of_a_switch_are_known_by_name(interface: str, is_one: bool) -> None:
    assert is_port_of("s1", interface) == is_one


def test_every_public_name_is_there() -> None:
    assert {name for name in vxlab.__all__ if not hasattr(vxlab, name)} == set()
    assert set(vxlab.__all__) <= set(dir(vxlab))
