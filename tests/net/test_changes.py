"""Changes while a lab runs: VMs move, rows age, agents and the controller are restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.labs import RunningLab, lab, processes_of, vxlab, vxlab_ok
from tests.support.poll import eventually
from vxlab.control import rpc

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
HV1, HV2, HV3 = "192.0.2.11", "192.0.2.12", "192.0.2.13"


@pytest.fixture
def changing() -> Iterator[RunningLab]:
    with lab("three_vteps", "t-changing", "ageing.hv1=2") as running:
        yield running


def ask(lab: RunningLab, hypervisor: str, do: str, **arguments: object) -> object:
    return rpc.ask(lab.handle.directory.agent_socket(hypervisor), do, **arguments)


def test_a_vm_that_moves_is_found_at_its_new_vtep(changing: RunningLab) -> None:
    changing.ping("A", "10.0.0.2")
    changing.assert_row("hv1", 10, B, HV2)
    vxlab_ok(
        "move", "--lab", changing.name, "B", "hv3"
    )  # sends a gratuitous ARP, as after a migration
    changing.await_row("hv1", 10, B, HV3)
    changing.await_row("hv2", 10, B, HV3)  # was local there
    changing.await_row("hv3", 10, B, None)
    changing.ping("A", "10.0.0.2")
    assert changing.handle.node("B")["hypervisor"] == "hv3"


def test_rows_age_only_where_the_ageing_is_short(changing: RunningLab) -> None:
    changing.ping("A", "10.0.0.2")
    changing.assert_row("hv1", 10, B, HV2)

    def aged() -> None:
        assert changing.row("hv1", 10, B) is None

    eventually(aged, within=3 + 2)
    changing.assert_row("hv2", 10, A, HV1)  # 300 s there
    changing.ping("A", "10.0.0.2")  # flooded, learned anew
    changing.assert_row("hv1", 10, B, HV2)


def test_a_restarted_agent_joins_and_learns_again(changing: RunningLab) -> None:
    changing.ping("A", "10.0.0.2")
    vxlab_ok("restart", "--lab", changing.name, "hv2")
    assert changing.listing("fdb", "hv2") == []
    eventually(lambda: assert_members(changing, ["hv1", "hv2", "hv3"]))
    changing.run("A", "ip", "neigh", "flush", "all")
    changing.ping("A", "10.0.0.2")
    changing.assert_row("hv2", 10, A, HV1)


def assert_members(lab: RunningLab, names: list[str]) -> None:
    (row,) = lab.listing("groups")
    assert row["joined"] == names
    assert row["snooped"] == {"s1": names}


def test_vnis_are_added_and_removed_at_run_time_with_their_groups(changing: RunningLab) -> None:
    for hypervisor in ("hv1", "hv2"):
        ask(changing, hypervisor, "vni_add", vni=77, group="239.1.1.77", vlan=7)

    def new() -> dict[str, Any]:
        return next(r for r in changing.listing("groups") if r["vni"] == 77)

    def snooped() -> None:
        assert new()["snooped"] == {"s1": ["hv1", "hv2"]}

    eventually(snooped)
    assert new()["joined"] == ["hv1", "hv2"]
    ask(changing, "hv2", "vni_del", vni=77)

    def pruned() -> None:
        assert new()["snooped"] == {"s1": ["hv1"]}

    eventually(pruned)


def test_an_agent_that_ends_in_order_leaves_its_groups(changing: RunningLab) -> None:
    ask(changing, "hv3", "stop")

    def pruned() -> None:
        row = rpc.ask(changing.handle.directory.controller_socket, "groups")[0]
        assert [port["port"] for port in row["ports"]] == [1, 2]

    eventually(pruned)


def controller_pid(lab: RunningLab) -> int:
    for name in processes_of(lab.handle.directory.path):
        if b"\0controller\0" in Path(f"/proc/{name}/cmdline").read_bytes():
            return int(name)
    raise AssertionError("no controller runs")


def test_traffic_continues_without_the_controller_which_restores_its_state(
    changing: RunningLab,
) -> None:
    changing.ping("A", "10.0.0.2")
    before = flows(changing)
    os.kill(controller_pid(changing), signal.SIGKILL)

    def named() -> None:
        assert (
            "controller of lab t-changing is dead" in vxlab("groups", "--lab", changing.name).stderr
        )

    eventually(named)
    changing.run("A", "ip", "neigh", "flush", "all")
    changing.ping("A", "10.0.0.3")  # a flood and unicasts, forwarded by the flows that remain
    vxlab_ok("restart", "--lab", changing.name, "controller")
    eventually(lambda: assert_members(changing, ["hv1", "hv2", "hv3"]))
    assert flows(changing) == before
    changing.ping("A", "10.0.0.2")


def flows(lab: RunningLab) -> set[str]:
    """The flows of s1 without counters and times."""
    text = lab.run("s1", "ovs-ofctl", "-OOpenFlow13", "--no-stats", "dump-flows", "s1")
    return {line.strip() for line in text.splitlines() if "cookie" in line or "priority" in line}
