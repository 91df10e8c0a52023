"""VTEPs of several kinds in one lab: every ordered pair interoperates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.interop.checks import CHECKS, NARROW, wrong
from tests.interop.pairs import KindsLab, kinds_lab
from tests.support.labs import lab, vxlab_ok
from vxlab.topology.families import FAMILIES, Family
from vxlab.vteps.kinds import KINDS

A = "02:00:00:00:00:0a"


@pytest.fixture(scope="module", params=FAMILIES)
def kinds(request: pytest.FixtureRequest) -> Iterator[KindsLab]:
    """Two hypervisors of each kind, over each family of the underlay."""
    with kinds_lab(request.param) as running:
        yield running


@pytest.mark.parametrize("check", [check for check in CHECKS if check not in NARROW])
def test_every_ordered_pair_interoperates(kinds: KindsLab, check: str) -> None:
    assert wrong(CHECKS[check](kinds)) == {}


@pytest.mark.parametrize("check", sorted(NARROW))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_packet_that_is_too_big_is_dropped_entirely(family: str, check: str) -> None:
    with kinds_lab(family, narrow=True) as kinds:
        assert wrong(CHECKS[check](kinds)) == {}


def test_every_ordered_pair_is_checked(kinds: KindsLab) -> None:
    found = {(p.asks.kind, p.answers.kind, p.flooding) for p in kinds.pairs}
    by_group = [name for name, kind in KINDS.items() if kind.multicast]
    everywhere = {(*pair, "head-end") for pair in itertools.product(KINDS, repeat=2)}
    assert found == everywhere | {(*p, "multicast") for p in itertools.product(by_group, repeat=2)}
    remotes = {end.underlay for end in kinds.ends()}
    assert all(FAMILIES[kinds.family].owns(remote) for remote in remotes)
    rows = kinds.running.listing("stats")
    assert {row["hypervisor"] for row in rows} == {end.hypervisor for end in kinds.ends()}


def test_groups_are_joined_and_snooped(kinds: KindsLab) -> None:
    (row,) = kinds.running.listing("groups")
    pairs = [pair for pair in kinds.pairs if pair.flooding == "multicast"]
    members = sorted({end.hypervisor for p in pairs for end in (p.asks, p.answers)})
    assert sorted(row["joined"]) == members
    assert row["snooped"] == {"s1": members}


def test_a_vtep_of_each_kind_works_again_after_a_restart(kinds: KindsLab) -> None:
    for hypervisor in sorted({pair.answers.hypervisor for pair in kinds.pairs}):
        vxlab_ok("restart", "--lab", kinds.running.name, hypervisor)
    kinds.meet()
    assert wrong(CHECKS["ARP and ping"](kinds)) == {}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_head_end_replication_needs_no_multicast(family: Family) -> None:
    one, two, three = (family.address(number) for number in (1, 2, 3))
    settings = ("flooding=head-end", f"underlay={family.name}")
    with lab("three_vteps", f"t-head-end-{family.name}", *settings) as running:
        captures = running.record("hv1:hv1-eth0")
        running.ping("A", "10.0.0.2")
        running.ping("A", "10.0.0.3")
        assert running.listing("groups") == []
        flooded = [p for p in captures.vxlan("hv1-eth0") if p.inner.dst == "ff:ff:ff:ff:ff:ff"]
        # each broadcast is sent twice, in the order in which the kernel resolved the remotes
        assert sorted(p.destination for p in flooded) == [two, two, three, three]
        running.assert_row("hv3", 10, A, one)
        captures.close()


# -- kernel VTEPs


def test_the_bridge_of_a_kernel_vtep_sends_no_frames_itself() -> None:
    """Other VTEPs would learn its MAC. A bridge that snoops IGMP joins 224.0.0.106 (RFC 4286)."""
    with lab("three_vteps", "t-kernel-bridge", "vtep=linux") as running:
        joined = running.run("hv1", "ip", "-json", "maddr", "show", "dev", "vb10")
        assert "224.0.0.106" not in joined
        running.ping("A", "10.0.0.2")
        running.ping("A", "10.0.0.3")
        macs = {row["mac"] for row in running.listing("fdb")}
        assert macs == {A, "02:00:00:00:00:0b", "02:00:00:00:00:0c"}
