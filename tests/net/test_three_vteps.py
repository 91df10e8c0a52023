"""The lab of the demo: node properties, learning, the quiet link, TCP, decisions and packets."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP

from tests.support.labs import VXLAB, RunningLab, vxlab, vxlab_ok
from tests.support.poll import eventually
from vxlab.capture.decode import Encapsulated
from vxlab.capture.packets import INBOUND, OUTBOUND
from vxlab.capture.pcapng import save
from vxlab.control import rpc
from vxlab.testing.lab import Row

pytestmark = pytest.mark.vxlab("three_vteps")

A, B, C = (f"02:00:00:00:00:{last}" for last in ("0a", "0b", "0c"))
HV1, HV2, HV3 = "192.0.2.11", "192.0.2.12", "192.0.2.13"
GROUP = "239.1.1.10"
Recorded = tuple[list[Row], dict[str, list[Encapsulated]], Path]
UNDERLAY = ("hv1:hv1-eth0", "hv2:hv2-eth0", "hv3:hv3-eth0")


@pytest.fixture(autouse=True)
def clean_tables(lab: RunningLab) -> None:
    """Each test begins with nothing learned, neither by VTEPs nor by VMs or virtual switches."""
    forget = "ovs-appctl fdb/flush; for vm in A B C; do ip -n $vm neigh flush all; done"
    lab.run("br1", "sh", "-c", forget)
    for hypervisor in ("hv1", "hv2", "hv3"):
        flush(lab, hypervisor)


def flush(lab: RunningLab, hypervisor: str) -> None:
    rpc.ask(lab.handle.directory.agent_socket(hypervisor), "flush")


def test_nodes_have_the_documented_properties(lab: RunningLab) -> None:
    rows = json.loads(vxlab_ok("nodes", lab.name, "--json"))
    by_name = {row["name"]: row for row in rows}
    assert by_name["A"] == {
        "name": "A", "kind": "vm", "hypervisor": "hv1", "ip": ["10.0.0.1/24"], "mac": A,
        "vlan": 1, "vni": 10, "links_down": [],
    }  # fmt: skip
    assert by_name["hv1"]["underlay"] == HV1
    assert by_name["hv1"]["vtep"] == "python"
    kinds = {row["kind"] for row in rows}
    assert kinds == {"vm", "hypervisor", "bridge", "switch"}


def test_groups_are_joined_and_snooped(lab: RunningLab) -> None:
    members = ["hv1", "hv2", "hv3"]
    assert lab.listing("groups") == [
        {"vni": 10, "group": GROUP, "joined": members, "snooped": {"s1": members}}
    ]


def test_a_ping_is_learned_at_both_ends_and_at_the_bystander(lab: RunningLab) -> None:
    lab.ping("A", "10.0.0.2")
    lab.assert_row("hv1", 10, A, None)
    lab.assert_row("hv1", 10, B, HV2)
    lab.assert_row("hv2", 10, A, HV1)
    lab.assert_row("hv2", 10, B, None)
    lab.assert_row("hv3", 10, A, HV1)  # from the flooded request
    assert lab.row("hv3", 10, B) is None  # the unicast reply did not reach it
    row = lab.row("hv1", 10, B)
    assert row is not None
    assert set(row) == {"hypervisor", "vni", "mac", "remote", "port", "kind", "age_s"}
    assert (row["kind"], row["port"]) == ("learned", None)


def test_the_third_link_is_quiet_once_both_ends_know_each_other(lab: RunningLab) -> None:
    lab.ping("A", "10.0.0.2")
    captures = lab.record(*UNDERLAY)
    lab.ping("A", "10.0.0.2", count=20)
    lab.ping("hv1", HV3)  # arrives after anything that was flooded
    for interface in ("hv1-eth0", "hv2-eth0"):
        # Kernels confirm their ARP entries now and then, unicast: not what is counted here.
        pings = [packet for packet in captures.vxlan(interface) if ICMP in packet.inner]
        assert len(pings) == 40
    assert captures.vxlan("hv3-eth0") == []
    captures.close()


def test_stats_count_what_the_wire_carried(lab: RunningLab) -> None:
    before = vni_10_stats(lab)
    captures = lab.record("hv1:hv1-eth0")
    lab.ping("A", "10.0.0.2", count=5)
    out = captures.vxlan("hv1-eth0", OUTBOUND)
    after = vni_10_stats(lab)
    for kind, to_group in (("flood", True), ("unicast", False)):
        sent = [packet for packet in out if (packet.destination == GROUP) == to_group]
        moved = {
            unit: after["encapsulated"][kind][unit] - before["encapsulated"][kind][unit]
            for unit in ("packets", "bytes")
        }
        assert moved == {"packets": len(sent), "bytes": sum(len(p.inner) for p in sent)}
    assert {"hypervisor", "vni", "encapsulated", "decapsulated", "drops"} <= set(after)
    captures.close()


def vni_10_stats(lab: RunningLab) -> Row:
    return next(row for row in lab.listing("stats", "hv1") if row["vni"] == 10)


def test_tcp_works_with_offloads_enabled_in_the_vms(lab: RunningLab) -> None:
    server = lab.start("B", "iperf3", "-s", "-1")
    eventually(lambda: listens(lab, "B", 5201))
    report = json.loads(lab.run("A", "iperf3", "-c", "10.0.0.2", "-t", "1", "-J"))
    server.communicate(timeout=10)
    assert "error" not in report
    assert report["end"]["sum_received"]["bits_per_second"] > 1e6


def test_a_tcp_stream_arrives_byte_for_byte(lab: RunningLab, tmp_path: Path) -> None:
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(random.Random(4789).randbytes(5_000_000))
    server = lab.start("B", sys.executable, "-c", TAKE, str(received))
    eventually(lambda: listens(lab, "B", 9000))
    lab.run("A", sys.executable, "-c", GIVE, str(sent))
    server.communicate(timeout=10)
    assert received.read_bytes() == sent.read_bytes()


TAKE = """
import socket, sys
peer, _ = socket.create_server(("10.0.0.2", 9000)).accept()
with open(sys.argv[1], "wb") as file:
    while data := peer.recv(65536):
        file.write(data)
"""
GIVE = """
import socket, sys
with socket.create_connection(("10.0.0.2", 9000)) as peer, open(sys.argv[1], "rb") as file:
    peer.sendfile(file)
"""


def listens(lab: RunningLab, node: str, port: int) -> None:
    assert f":{port}" in lab.run(node, "ss", "-ltnH"), f"nothing listens on port {port} of {node}"


def test_a_full_size_frame_crosses_unfragmented(lab: RunningLab) -> None:
    captures = lab.record("hv1:hv1-eth0")
    lab.run("A", "ping", "-c1", "-W2", "-M", "do", "-s", "1472", "10.0.0.2")
    largest = max(len(packet.captured.data) for packet in captures.vxlan("hv1-eth0", OUTBOUND))
    assert largest == 1514 + 50
    captures.close()


# -- events, packets and tshark agree


@pytest.fixture
def recorded(lab: RunningLab, clean_tables: None, tmp_path: Path) -> Recorded:
    """One ping from a cold start: all decisions, all VXLAN packets per link, their pcapng."""
    log = tmp_path / "events.jsonl"
    captures = lab.record(*UNDERLAY)
    with log.open("w") as out:
        events = subprocess.Popen(
            [*VXLAB, "events", "--lab", lab.name, "--json", "--initial-state"],
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: count_lines(log, 3))  # the three joins
        lab.ping("A", "10.0.0.2")
        eventually(lambda: count_lines(log, 17))
        events.terminate()
        events.wait()
    links = {f"hv{n}": captures.vxlan(f"hv{n}-eth0") for n in (1, 2, 3)}
    save(tmp_path / "packets.pcapng", captures.look())
    captures.close()
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return records, links, tmp_path / "packets.pcapng"


def count_lines(path: Path, wanted: int) -> None:
    found = path.read_text().splitlines()
    assert len(found) >= wanted, f"{len(found)} of {wanted} events:\n" + "\n".join(found)


def decisions(events: list[Row], hypervisor: str) -> list[tuple[str, str, str]]:
    """A hypervisor's decisions in order, abbreviated."""
    return [
        (e["decision"], e["why"], e["mac"] or (e["frame"] or {}).get("summary", "").split(" ")[0])
        for e in events
        if e["hypervisor"] == hypervisor
    ]


def test_events_are_exactly_the_decisions_for_a_ping_in_order(recorded: Recorded) -> None:
    events, _, _ = recorded
    assert decisions(events, "hv1") == [
        ("joined", "vni_added", ""),
        ("learned", "local", A),
        ("flooded", "broadcast", "ARP"),
        ("learned", "remote", B),
        ("delivered", "unicast", "ARP"),
        ("sent", "known_unicast", "ICMP"),
        ("delivered", "unicast", "ICMP"),
    ]
    assert decisions(events, "hv2") == [
        ("joined", "vni_added", ""),
        ("learned", "remote", A),
        ("delivered", "flood", "ARP"),
        ("learned", "local", B),
        ("sent", "known_unicast", "ARP"),
        ("delivered", "unicast", "ICMP"),
        ("sent", "known_unicast", "ICMP"),
    ]
    assert decisions(events, "hv3") == [
        ("joined", "vni_added", ""),
        ("learned", "remote", A),
        ("delivered", "flood", "ARP"),
    ]


def test_events_agree_with_the_capture_packet_by_packet(recorded: Recorded) -> None:
    events, links, _ = recorded
    for hypervisor, packets in links.items():
        mine = [e for e in events if e["hypervisor"] == hypervisor]
        sent = [(e["group"] or e["remote"], e["vni"], e["sport"], e["frame"]["source"])
                for e in mine if e["decision"] in ("flooded", "sent")]  # fmt: skip
        received = [(e["remote"], e["vni"], e["frame"]["source"], e["frame"]["length"])
                    for e in mine if e["decision"] == "delivered"]  # fmt: skip
        out = [p for p in packets if p.captured.direction == OUTBOUND]
        into = [p for p in packets if p.captured.direction == INBOUND]
        assert sent == [(p.destination, p.vni, p.outer["UDP"].sport, p.inner.src) for p in out]
        assert received == [(p.source, p.vni, p.inner.src, len(p.inner)) for p in into]


def test_tshark_reads_every_packet_as_vxlan_without_a_warning(recorded: Recorded) -> None:
    _, links, capture = recorded
    fields = [
        "frame.interface_name",
        "ip.src",
        "udp.srcport",
        "vxlan.vni",
        "vxlan.flags",
        "udp.checksum",
    ]
    read = tshark(capture, "udp.port == 4789", *fields)
    expected = sorted(
        (f"{hv}-eth0", p.source, p.outer["UDP"].sport, 10, 0x0800, 0)
        for hv, packets in links.items()
        for p in packets
    )
    found = sorted(map(outer_fields, read))
    assert found == expected
    assert len(found) == 9  # 1 + 2 of the flood, 3 unicasts seen at both ends
    # A packet that tshark considers wrong has an expert item of severity "warning" or worse.
    assert (
        tshark(capture, "udp.port == 4789 && _ws.expert.severity >= 0x600000", "_ws.expert.message")
        == []
    )
    assert tshark(capture, "_ws.malformed", "frame.number") == []


def outer_fields(row: list[str]) -> tuple[str, str, int, int, int, int]:
    """tshark lists a field of every layer that has it, outermost first."""
    name, source, port, vni, flags, checksum = (cell.split(",")[0] for cell in row)
    return name, source, int(port), int(vni), int(flags, 16), int(checksum, 16)


def tshark(capture: Path, display_filter: str, *fields: str) -> list[list[str]]:
    assert shutil.which("tshark"), "tshark is missing; `make setup` installs it"
    options = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", str(capture), "-Y", display_filter, "-T", "fields", *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_commands_refuse_invalid_requests(lab: RunningLab) -> None:
    refused = vxlab("fdb", "--lab", lab.name, "hv9")
    assert refused.returncode == 2
    assert "hv9: no such hypervisor" in refused.stderr
    assert "hypervisors: hv1, hv2, hv3" in refused.stderr
    assert vxlab("exec", "--lab", lab.name, "A", "--", "sh", "-c", "exit 7").returncode == 7
    second = vxlab("up", "three_vteps", "--name", lab.name, "-d")
    assert second.returncode == 1
    assert "runs already" in second.stderr
