"""VTEPs of several kinds in one lab: every ordered pair understands each other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.support.labs import RunningLab, lab, vxlab, vxlab_ok
from tests.support.poll import eventually
from topologies.lab.tap import INBOUND
from topologies.vteps.kinds import KINDS

A, B, C = (f"02:00:00:00:00:{last}" for last in ("0a", "0b", "0c"))
HV1, HV2, HV3 = "192.0.2.11", "192.0.2.12", "192.0.2.13"
PAIRS = list(itertools.product(KINDS, repeat=2))


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "-".join(pair))
def pair(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """hv1 of one kind, hv2 of another, hv3 of the first: somewhere to move to."""
    one, other = request.param
    kinds = (f"vtep.hv1={one}", f"vtep.hv2={other}", f"vtep.hv3={one}")
    with lab("three_vteps", f"t-{one}-{other}", *kinds) as running:
        yield running


def test_arp_and_ping_pass_and_both_ends_learn(pair: RunningLab) -> None:
    pair.ping("A", "10.0.0.2", count=3)
    pair.assert_row("hv1", 10, A, None)
    pair.assert_row("hv1", 10, B, HV2)
    pair.assert_row("hv2", 10, B, None)
    pair.assert_row("hv2", 10, A, HV1)


def test_tcp_passes(pair: RunningLab) -> None:
    server = pair.start("B", "iperf3", "-s", "-1")

    def listens() -> None:
        assert ":5201" in pair.run("B", "ss", "-ltnH")

    eventually(listens)
    report = json.loads(pair.run("A", "iperf3", "-c", "10.0.0.2", "-t", "1", "-J", timeout=20))
    server.communicate(timeout=10)
    assert report["end"]["sum_received"]["bits_per_second"] > 1e6


def test_unknown_unicast_reaches_everyone_once(pair: RunningLab) -> None:
    mark = b"is anyone there"
    taps = pair.taps("A:A-eth0", "B:B-eth0", "C:C-eth0")
    frame = Ether(src=A, dst="02:00:00:00:99:99") / IP(dst="10.0.0.99") / UDP(dport=9) / mark
    taps.taps[0].send(bytes(frame))

    def arrived() -> None:
        got = [s.interface for s in taps.look() if mark in s.data and s.direction == INBOUND]
        assert sorted(got) == ["B-eth0", "C-eth0"]

    eventually(arrived)
    pair.ping("A", "10.0.0.2")  # comes behind any second copy
    arrived()
    taps.close()


def test_what_does_not_fit_is_not_delivered_in_part(pair: RunningLab) -> None:
    largest = pair.try_run("A", "ping", "-c1", "-W2", "-M", "do", "-s", "1472", "10.0.0.2")
    assert largest.returncode == 0, largest.stdout
    jumbo = pair.try_run("A", "ping", "-c1", "-W1", "-M", "do", "-s", "1473", "10.0.0.2")
    assert jumbo.returncode == 1


def test_a_moved_vm_is_found(pair: RunningLab) -> None:
    pair.ping("B", "10.0.0.1")
    vxlab_ok("move", "--lab", pair.name, "A", "hv3")
    pair.await_row("hv2", 10, A, HV3)
    pair.ping("B", "10.0.0.1", count=2)
    pair.assert_row("hv3", 10, A, None)
    vxlab_ok("move", "--lab", pair.name, "A", "hv1")
    pair.await_row("hv2", 10, A, HV1)


def test_ps_and_nodes_name_the_kinds(pair: RunningLab) -> None:
    rows = [row for row in json.loads(vxlab_ok("nodes", pair.name, "--json")) if "vtep" in row]
    assert f"t-{rows[0]['vtep']}-{rows[1]['vtep']}" == pair.name
    assert vxlab("stats", "--lab", pair.name).returncode == 0


def test_head_end_replication_needs_no_multicast() -> None:
    with lab("three_vteps", "t-head-end", "flooding=head-end") as running:
        taps = running.taps("hv1:hv1-eth0")
        running.ping("A", "10.0.0.2")
        running.ping("A", "10.0.0.3")
        assert running.listing("groups") == []
        flooded = [p for p in taps.vxlan("hv1-eth0") if p.inner.dst == "ff:ff:ff:ff:ff:ff"]
        # each broadcast twice, in whatever order the kernel resolved the remotes
        assert sorted(p.destination for p in flooded) == [HV2, HV2, HV3, HV3]
        running.assert_row("hv3", 10, A, HV1)
        taps.close()
