"""Many hypervisors: the underlay's tables contain VTEPs only, and all VMs reach each other."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator

import pytest

from tests.support.labs import RunningLab, address_of, lab, vxlab_ok
from vxlab.testing.lab import Row

PAIRS = 200
UP_WITHIN_S = 30


@pytest.fixture(scope="module")
def crowd() -> Iterator[RunningLab]:
    """40 VMs behind 4 VTEPs, over a tree of three underlay switches."""
    with lab("many_vteps", "t-crowd", "vteps=4", "vms=10", "switches=3") as running:
        yield running


def test_the_underlays_tables_contain_vtep_addresses_only(crowd: RunningLab) -> None:
    vms = crowd.handle.nodes("vm")
    crowd.ping_each(zip(vms, vms[10:] + vms[:10], strict=True))  # each one behind the next VTEP
    vteps = {row["mac"] for row in crowd.handle.nodes("hypervisor")}
    spoken = {row["mac"] for row in crowd.handle.nodes("vm")}
    learned = {row["mac"] for row in crowd.listing("fdb")}
    assert spoken == learned
    for switch in crowd.handle.nodes("switch"):
        flows = crowd.run(switch["name"], "ovs-ofctl", "-OOpenFlow13", "dump-flows", switch["name"])
        macs = set(
            re.findall(r"dl_(?:src|dst)=((?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?![/0-9a-f])", flows)
        )
        unicast = {mac for mac in macs if not int(mac[:2], 16) & 1}
        assert unicast == vteps, f"{switch['name']}:\n{flows}"
        assert not macs & spoken


def test_a_flood_crosses_a_tree_of_switches_once(crowd: RunningLab) -> None:
    captures = crowd.record(*(f"hv{n}:hv{n}-eth0" for n in (1, 2, 3, 4)))
    crowd.run("vm1", "ip", "neigh", "flush", "all")
    crowd.ping("vm1", address_of(crowd.handle.node("vm40")))
    crowd.ping("hv1", "192.0.2.14")
    group = crowd.handle.state["segments"]["100"]
    copies = {
        n: [p for p in captures.vxlan(f"hv{n}-eth0") if p.destination == group]
        for n in (1, 2, 3, 4)
    }
    assert {n: len(packets) for n, packets in copies.items()} == {1: 1, 2: 1, 3: 1, 4: 1}
    captures.close()


@pytest.fixture
def thirty() -> Iterator[RunningLab]:
    with lab("many_vteps", "t-thirty", "vteps=30", "vms=2") as running:
        yield running


def test_thirty_hypervisors_start_and_reach_each_other(thirty: RunningLab) -> None:
    (row,) = [row for row in json.loads(vxlab_ok("ps", "--json")) if row["name"] == thirty.name]
    assert row["up_s"] < UP_WITHIN_S  # since the `up` command
    vms = thirty.handle.nodes("vm")
    assert len(vms) == 60
    thirty.ping_each(sample_of_pairs(vms))


def sample_of_pairs(vms: list[Row]) -> list[tuple[Row, Row]]:
    chance = random.Random(7348)
    return [(one, other) for one, other in (chance.sample(vms, 2) for _ in range(PAIRS))]
