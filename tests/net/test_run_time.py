"""Changes to a running lab by command: links, VNIs, static entries, learned entries."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.labs import RunningLab, lab, vxlab, vxlab_ok
from tests.support.poll import eventually

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
HV2, HV3 = "192.0.2.12", "192.0.2.13"


@pytest.fixture(autouse=True)
def everything_is_up(three_vteps: RunningLab) -> Iterator[None]:
    """Each test must restore the state of the shared lab."""
    yield
    for row in links(three_vteps):
        assert row["state"] == "up"


def link(lab: RunningLab, *words: str) -> str:
    return vxlab_ok("link", "--lab", lab.name, *words)


def links(lab: RunningLab) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(link(lab, "show", "--json"))
    return found


def state_of(lab: RunningLab, one: str, other: str) -> str:
    (state,) = (row["state"] for row in links(lab) if {row["node1"], row["node2"]} == {one, other})
    return state


def nodes(lab: RunningLab) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(vxlab_ok("nodes", lab.name, "--json"))}


def refused(lab: RunningLab, command: str, *words: str, status: int = 2) -> str:
    """The error line of a command that must fail."""
    done = vxlab(command, "--lab", lab.name, *words)
    assert (done.returncode, done.stdout) == (status, ""), done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


# -- links


def test_a_link_goes_down_and_comes_up_again(three_vteps: RunningLab) -> None:
    three_vteps.ping("A", "10.0.0.2")
    assert link(three_vteps, "A", "br1", "down") == "A br1 is down\n"
    assert link(three_vteps, "br1", "A", "down") == "A br1 is down\n"  # again, and in reverse
    assert three_vteps.try_run("A", "ping", "-c1", "-W1", "10.0.0.2").returncode != 0
    assert state_of(three_vteps, "A", "br1") == "down"
    shown = nodes(three_vteps)
    assert (shown["A"]["links_down"], shown["br1"]["links_down"]) == (["br1"], ["A"])
    labs = {row["name"]: row for row in json.loads(vxlab_ok("ps", "--json"))}
    assert labs[three_vteps.name]["links_down"] == ["A br1"]
    for _ in range(2):
        assert link(three_vteps, "A", "br1", "up") == "A br1 is up\n"
    three_vteps.ping("A", "10.0.0.2")
    assert nodes(three_vteps)["A"]["links_down"] == []


def test_both_ends_go_down(three_vteps: RunningLab) -> None:
    link(three_vteps, "hv1", "s1", "down")
    for node, interface in (("hv1", "hv1-eth0"), ("s1", "s1-eth1")):
        (row,) = json.loads(three_vteps.run(node, "ip", "-j", "link", "show", "dev", interface))
        assert "UP" not in row["flags"], node
    link(three_vteps, "hv1", "s1", "up")

    def snooped_again() -> None:
        (row,) = three_vteps.listing("groups")
        assert row["snooped"] == {"s1": ["hv1", "hv2", "hv3"]}

    eventually(snooped_again)
    three_vteps.ping("A", "10.0.0.2")


def test_what_the_kernel_removes_with_a_link_is_restored(three_vteps: RunningLab) -> None:
    setup = (
        "sysctl -qw net.ipv6.conf.C-eth0.disable_ipv6=0 && ip addr add 2001:db8:1::c/64 dev C-eth0"
        " nodad && ip route add 203.0.113.0/24 via 10.0.0.2 && ip route add default via 10.0.0.1"
        " table 7 && ip route add 2001:db8:2::/64 via 2001:db8:1::1"
        f" && ip neigh add 10.0.0.9 lladdr {A} nud permanent dev C-eth0"
    )
    show = "ip route show table all; ip -6 route show 2001:db8:2::/64; ip neigh show nud permanent"
    three_vteps.run("C", "sh", "-c", setup)
    before = three_vteps.run("C", "sh", "-c", show)
    assert before.count("via") == 4  # one is seen twice
    link(three_vteps, "C", "br3", "down")
    assert "203.0.113.0" not in three_vteps.run("C", "sh", "-c", show)
    link(three_vteps, "C", "br3", "up")
    assert sorted(three_vteps.run("C", "sh", "-c", show).splitlines()) == sorted(
        before.splitlines()
    )
    assert "2001:db8:1::c/64" in three_vteps.run("C", "ip", "-6", "addr", "show", "dev", "C-eth0")


def test_a_link_that_was_changed_manually_is_shown_in_its_actual_state(
    three_vteps: RunningLab,
) -> None:
    three_vteps.run("B", "ip", "link", "set", "B-eth0", "down")
    assert state_of(three_vteps, "B", "br2") == "down"
    assert nodes(three_vteps)["B"]["links_down"] == ["br2"]
    link(three_vteps, "B", "br2", "up")
    assert state_of(three_vteps, "B", "br2") == "up"


def test_nodes_that_are_not_linked_are_refused_with_the_links(three_vteps: RunningLab) -> None:
    line = refused(three_vteps, "link", "A", "s1", "down")
    assert "A and s1 are not linked; links: A br1, B br2, C br3, hv1 br1, hv1 s1," in line
    line = refused(three_vteps, "link", "A", "br9", "down")
    assert "br9: no such node in lab t-scene; nodes: A, B, C, hv1, br1," in line


# -- VNIs


@pytest.fixture
def vni_77(three_vteps: RunningLab) -> Iterator[RunningLab]:
    """VNI 77 on hv1 and hv2."""
    add = ("vni", "--lab", three_vteps.name, "add")
    assert vxlab_ok(*add, "hv1", "77", "--group", "239.1.1.77", "--vlan", "7").endswith("VLAN 7\n")
    vxlab_ok(*add, "hv2", "77")
    yield three_vteps
    for name, row in nodes(three_vteps).items():
        if 77 in row.get("vnis", []):
            vxlab_ok("vni", "--lab", three_vteps.name, "del", name, "77")
    assert [row["vni"] for row in three_vteps.listing("groups")] == [10]


def test_a_vni_works_when_the_command_returns(vni_77: RunningLab) -> None:
    row = next(row for row in vni_77.listing("groups") if row["vni"] == 77)
    assert row == {
        "vni": 77,
        "group": "239.1.1.77",  # hv2's, too: that of the lab
        "joined": ["hv1", "hv2"],
        "snooped": {"s1": ["hv1", "hv2"]},
    }
    shown = nodes(vni_77)
    assert [shown[name]["vnis"] for name in ("hv1", "hv2", "hv3")] == [[10, 77], [10, 77], [10]]


def test_a_restarted_agent_keeps_what_was_configured_at_run_time(vni_77: RunningLab) -> None:
    static = ("static", "--lab", vni_77.name)
    vxlab_ok(*static, "add", "hv1", "77", C, "hv3")
    vxlab_ok("restart", "--lab", vni_77.name, "hv1")
    assert {row["vni"] for row in vni_77.listing("stats", "hv1")} == {10, 77, None}
    row = vni_77.row("hv1", 77, C)
    assert row is not None
    assert (row["kind"], row["remote"]) == ("static", HV3)
    vxlab_ok("vni", "--lab", vni_77.name, "del", "hv1", "77")
    vxlab_ok("restart", "--lab", vni_77.name, "hv1")
    assert {row["vni"] for row in vni_77.listing("stats", "hv1")} == {10, None}
    assert vni_77.row("hv1", 77, C) is None
    vni_77.ping("A", "10.0.0.2")


def test_a_vni_with_remotes_floods_to_them(three_vteps: RunningLab) -> None:
    add = ("vni", "--lab", three_vteps.name, "add", "hv1", "88")
    vxlab_ok(*add, "--remote", "hv2", "--remote", HV3, "--suppress-arp")
    try:
        assert [row["vni"] for row in three_vteps.listing("groups")] == [10]
        text = three_vteps.handle.directory.agent_config("hv1").read_text()
        assert f'remotes = ["{HV2}", "{HV3}"]\nsuppress_arp = true\n' in text
    finally:
        vxlab_ok("vni", "--lab", three_vteps.name, "del", "hv1", "88")


def test_a_vm_can_move_to_a_vtep_to_which_its_vni_was_added(three_vteps: RunningLab) -> None:
    name = three_vteps.name
    done = vxlab("vni", "--lab", name, "del", "hv3", "10")
    assert (done.returncode, done.stderr) == (0, "vxlab: without a network now: C\n")
    assert "`vxlab vni add hv3 10` adds it" in refused(three_vteps, "move", "B", "hv3", status=1)
    vxlab_ok("vni", "--lab", name, "add", "hv3", "10")
    vxlab_ok("move", "--lab", name, "B", "hv3")
    shown = nodes(three_vteps)
    assert (shown["B"]["hypervisor"], shown["C"]["vlan"]) == ("hv3", 1)
    assert state_of(three_vteps, "B", "br3") == "up"
    three_vteps.ping("A", "10.0.0.2")
    three_vteps.ping("A", "10.0.0.3")
    link(three_vteps, "B", "br3", "down")  # the link is where the VM is
    assert three_vteps.try_run("A", "ping", "-c1", "-W1", "10.0.0.2").returncode != 0
    link(three_vteps, "B", "br3", "up")
    vxlab_ok("move", "--lab", name, "B", "hv2")


def test_a_vm_keeps_its_vlan_while_its_vni_is_removed(three_vteps: RunningLab) -> None:
    """Another VNI must not get the VM's VLAN: the VM would silently be in that VNI."""
    here = ("--lab", three_vteps.name)
    vxlab_ok("vni", "del", *here, "hv1", "10")
    try:
        line = refused(three_vteps, "vni", "add", "hv1", "77", "--group", "239.1.1.77", "--vlan=1")
        assert line.endswith("VLAN 1 has VMs of VNI 10; VNI 77 must have another VLAN")
        done = vxlab_ok("vni", "add", *here, "hv1", "77", "--group", "239.1.1.77")
        assert done == "VNI 77 is on hv1, VLAN 2\n"
        assert refused(three_vteps, "vni", "add", "hv1", "10", "--vlan=5").endswith("not 5")
    finally:
        assert vxlab_ok("vni", "add", *here, "hv1", "10") == "VNI 10 is on hv1, VLAN 1\n"
    three_vteps.ping("A", "B")
    vxlab_ok("vni", "del", *here, "hv1", "77")


def test_events_of_an_unknown_hypervisor_are_refused_in_one_line(three_vteps: RunningLab) -> None:
    assert refused(three_vteps, "events", "hv9").startswith("vxlab: hv9: no such hypervisor")


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ("add hv1 10", 2, "hv1: has VNI 10 already"),
        ("add hv9 10", 2, "hv9: no such hypervisor in lab t-scene; hypervisors: hv1, hv2, hv3"),
        ("add hv1 78", 2, "VNI 78: new in this lab; --group or --remote is needed"),
        ("add hv1 78 --group ff05::1", 2, "--group ff05::1: must be IPv4, as the underlay"),
        ("add hv1 78 --group 239.1.1.1 --remote hv2", 2, "give a group or remotes, not both"),
        ("add hv1 78 --remote hv1", 2, "remote 192.0.2.11: is hv1 itself"),
        ("add hv1 78 --remote x", 2, "remote x: must be an IP address or a hypervisor: hv1, hv2"),
        ("add hv1 78 --group 239.1.1.1 --vlan 1", 2, "hv1: VLAN 1 already carries VNI 10"),
        ("del hv1 78", 2, "hv1: has no VNI 78; VNIs: 10"),
    ],
)
def test_a_vni_that_cannot_be_changed_is_an_error_of_one_line(
    three_vteps: RunningLab, words: str, status: int, line: str
) -> None:
    assert line in refused(three_vteps, "vni", *words.split(), status=status)
    assert nodes(three_vteps)["hv1"]["vnis"] == [10]


# -- static and learned entries


def test_a_static_entry_is_added_and_removed(three_vteps: RunningLab) -> None:
    static = ("static", "--lab", three_vteps.name)
    mac = "02:00:00:00:00:99"
    vxlab_ok(*static, "add", "hv1", "10", mac, "hv2")
    row = three_vteps.row("hv1", 10, mac)
    assert row is not None
    assert (row["kind"], row["remote"]) == ("static", HV2)
    line = refused(three_vteps, "static", "del", "hv1", "10", mac, "hv3", status=1)
    assert f"hv1: {mac} is static at {HV2}, not {HV3}" in line
    vxlab_ok(*static, "add", "hv1", "10", mac, HV3)  # replaces it
    vxlab_ok(*static, "del", "hv1", "10", mac, "hv3")
    assert three_vteps.row("hv1", 10, mac) is None
    assert mac in refused(three_vteps, "static", "del", "hv1", "10", mac, status=1)
    assert "hv1: has no VNI 11; VNIs: 10" in refused(
        three_vteps, "static", "add", "hv1", "11", mac, "hv2"
    )


@contextlib.contextmanager
def quiet(lab: RunningLab) -> Iterator[None]:
    """No VM sends, so flushed entries are not learned again at once."""
    cables = (("A", "br1"), ("B", "br2"), ("C", "br3"))
    for cable in cables:
        link(lab, *cable, "down")
    yield
    for cable in cables:
        link(lab, *cable, "up")


def test_flush_removes_what_it_is_asked_to(three_vteps: RunningLab) -> None:
    flush = ("flush", "--lab", three_vteps.name, "--json")
    three_vteps.ping("A", "10.0.0.2")
    three_vteps.ping("A", "10.0.0.3")
    with quiet(three_vteps):
        (removed,) = json.loads(vxlab_ok(*flush, "hv1", "--mac", B))
        assert removed == {"hypervisor": "hv1", "removed": 1}
        assert three_vteps.row("hv1", 10, B) is None
        three_vteps.assert_row("hv1", 10, C, HV3)
        rows = json.loads(vxlab_ok(*flush, "--vni", "10"))
        assert [row["hypervisor"] for row in rows] == ["hv1", "hv2", "hv3"]
        assert three_vteps.listing("fdb") == []
    assert "--vni 11: no VTEP has it; VNIs: 10" in refused(three_vteps, "flush", "--vni", "11")


# -- other kinds of VTEP


@pytest.fixture(scope="module")
def mixed() -> Iterator[RunningLab]:
    """One VTEP of each kind."""
    with lab("three_vteps", "t-kinds-run", "vtep.hv2=linux", "vtep.hv3=ovs") as running:
        yield running


@pytest.mark.parametrize(("name", "kind"), [("hv2", "linux"), ("hv3", "ovs")])
def test_kinds_that_cannot_be_changed_at_run_time_say_so(
    mixed: RunningLab, name: str, kind: str
) -> None:
    for command, *words in (
        ("vni", "add", name, "77", "--remote", HV2 if name != "hv2" else HV3),
        ("vni", "del", name, "10"),
        ("static", "add", name, "10", A, "hv1"),
        ("static", "del", name, "10", A),
    ):
        line = refused(mixed, command, *words, status=1)
        request = f"{command}_{words[0]}"
        assert line.startswith(f"vxlab: {request}: a VTEP of kind {kind} cannot "), line
    assert nodes(mixed)[name]["vnis"] == [10]


def test_a_linux_vteps_bridge_is_not_learned_as_a_vm(mixed: RunningLab) -> None:
    # A bridge that snoops multicast joins all snoopers, and its report has the bridge's own MAC.
    assert "224.0.0.106" not in mixed.run("hv2", "ip", "maddr", "show", "dev", "vb10")
    mixed.ping("A", "10.0.0.2")
    mixed.ping("A", "10.0.0.3")
    assert {row["mac"] for row in mixed.listing("fdb")} == {A, B, C}


def test_the_other_kinds_can_be_flushed(mixed: RunningLab) -> None:
    mixed.ping("A", "10.0.0.2")
    mixed.ping("A", "10.0.0.3")
    mixed.await_row("hv2", 10, A, "192.0.2.11")

    def flushed() -> None:
        # Open vSwitch learns again from packets that it has forwarded but not yet accounted.
        vxlab_ok("flush", "--lab", mixed.name, "hv3")
        assert mixed.listing("fdb", "hv3") == []

    with quiet(mixed):
        vxlab_ok("flush", "--lab", mixed.name, "hv2", "--mac", A)
        assert mixed.row("hv2", 10, A) is None
        eventually(flushed)
    line = refused(mixed, "flush", "hv3", "--mac", A, status=1)
    assert "flush: a VTEP of kind ovs cannot remove those of one VNI or MAC" in line
