"""The eBPF data path in a lab: it forwards only as the agent has decided."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.fastpath import needs_kernel_data_path
from tests.support.labs import VXLAB, RunningLab, lab, vxlab_ok
from tests.support.poll import eventually
from vxlab.control import rpc

pytestmark = needs_kernel_data_path

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
AGEING_S = 3


@pytest.fixture(scope="module")
def fast() -> Iterator[RunningLab]:
    with lab("three_vteps", "t-fast", "datapath=ebpf") as running:
        yield running


@pytest.fixture
def short() -> Iterator[RunningLab]:
    settings = ("datapath=ebpf", f"ageing={AGEING_S}")
    with lab("three_vteps", "t-short", *settings) as running:
        yield running


def counters(lab: RunningLab, hypervisor: str) -> dict[str, int]:
    """Packet counters of VNI 10: by the fast path, all unicast, and sent floods."""
    (row,) = [row for row in lab.listing("stats", hypervisor) if row["vni"] == 10]
    ways = (row["encapsulated"]["unicast"], row["decapsulated"]["unicast"])
    return {
        "fast": row["fast_path"],
        "unicast": sum(way["packets"] for way in ways),
        "floods": row["encapsulated"]["flood"]["packets"],
    }


def test_known_unicast_never_reaches_the_agent(fast: RunningLab) -> None:
    fast.ping("A", "10.0.0.2")
    before = counters(fast, "hv1")
    fast.ping("A", "10.0.0.2", count=20)
    after = counters(fast, "hv1")
    assert after["fast"] - before["fast"] >= 40
    assert after["unicast"] - before["unicast"] >= 40  # each packet is counted once
    assert after["floods"] == before["floods"]


def test_the_agent_reports_its_data_path(fast: RunningLab) -> None:
    ready = rpc.ask(fast.handle.directory.agent_socket("hv1"), "ready")
    assert (ready["datapath"], ready["datapath_why"]) == ("ebpf", "asked for")


def test_while_events_are_watched_every_packet_goes_through_the_agent(fast: RunningLab) -> None:
    fast.ping("A", "10.0.0.2")
    watching = subprocess.Popen(
        [*VXLAB, "events", "--lab", fast.name, "--json", "--initial-state"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        watching.stdout.readline()  # the joined groups are reported when watching begins
        before = counters(fast, "hv1")
        fast.ping("A", "10.0.0.2", count=5)
        after = counters(fast, "hv1")
    finally:
        watching.kill()
        watching.communicate()
    assert after["fast"] == before["fast"]
    assert after["unicast"] - before["unicast"] >= 10
    eventually(lambda: goes_fast(fast))


def goes_fast(lab: RunningLab) -> None:
    before = counters(lab, "hv1")["fast"]
    lab.ping("A", "10.0.0.2", count=2)
    assert counters(lab, "hv1")["fast"] > before


def kill_agent(lab: RunningLab, hypervisor: str) -> None:
    """Kill an agent, so that it cannot detach its programs."""
    log = lab.handle.directory.log("forkserver")
    pid = rpc.ask(lab.handle.directory.agent_socket(hypervisor), "ready")["pid"]
    lab.run(hypervisor, "kill", "-9", str(pid))
    eventually(lambda: _assert_in(f"agent {pid} ended", log.read_text()))


def test_the_kernel_forwards_for_a_killed_agent_and_the_next_one_learns_again(
    fast: RunningLab,
) -> None:
    fast.ping("A", "10.0.0.2")
    kill_agent(fast, "hv1")
    fast.ping("A", "10.0.0.2", count=5)
    vxlab_ok("restart", "--lab", fast.name, "hv1")
    assert fast.row("hv1", 10, B) is None
    fast.ping("A", "10.0.0.2")
    fast.await_row("hv1", 10, B, "192.0.2.12")
    goes_fast(fast)


def test_a_python_agent_detaches_the_programs_of_a_killed_agent(short: RunningLab) -> None:
    short.ping("A", "10.0.0.2")
    kill_agent(short, "hv1")
    config = short.handle.directory.agent_config("hv1")
    config.write_text(config.read_text().replace('datapath = "ebpf"', 'datapath = "python"'))
    vxlab_ok("restart", "--lab", short.name, "hv1")
    short.ping("A", "10.0.0.2", count=5)
    assert counters(short, "hv1")["fast"] == 0
    for interface in ("hv1-eth0", "hv1-trunk"):
        assert "bpf" not in short.run("hv1", "tc", "filter", "show", "dev", interface, "ingress")


def test_over_ipv6_where_vteps_agree_on_zero_checksums() -> None:
    """One of them is the kernel's vxlan device, configured in the same way."""
    settings = ("datapath=ebpf", "underlay=ipv6", "udp_checksum=false", "vtep.hv3=linux")
    with lab("three_vteps", "t-fast6", *settings) as running:
        for address in ("10.0.0.2", "10.0.0.3"):
            running.ping("A", address)
            before = counters(running, "hv1")["fast"]
            running.ping("A", address, count=20)
            assert counters(running, "hv1")["fast"] - before >= 40
        assert tcp_gbit_s(running) > 0


def tcp_gbit_s(lab: RunningLab) -> float:
    """The TCP throughput from A to B, measured for a second."""
    lab.run("B", "iperf3", "-s", "-1", "-D")
    eventually(lambda: _assert_in(":5201", lab.run("B", "ss", "-ltn")))
    said = json.loads(lab.run("A", "iperf3", "-J", "-t", "1", "-c", "10.0.0.2"))
    return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9


def _assert_in(part: str, whole: str) -> None:
    assert part in whole


def test_received_frames_renew_rows_and_idle_rows_age_out(short: RunningLab) -> None:
    short.ping("A", "10.0.0.2")
    before = counters(short, "hv1")
    interval_s = 0.2
    count = str(round(2.5 * AGEING_S / interval_s))
    short.run("A", "ping", "-q", "-c", count, "-i", str(interval_s), "10.0.0.2")
    after = counters(short, "hv1")
    assert after["floods"] == before["floods"]  # the row never aged out
    assert after["fast"] - before["fast"] > int(count)
    row = short.row("hv1", 10, B)
    assert row is not None and row["age_s"] <= AGEING_S

    def gone() -> None:
        assert short.row("hv1", 10, B) is None and short.row("hv1", 10, A) is None

    eventually(gone, within=AGEING_S + 2.0)
    short.ping("A", "10.0.0.2")
    assert counters(short, "hv1")["floods"] > after["floods"]
