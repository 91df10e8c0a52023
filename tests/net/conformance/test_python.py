"""The project's own VTEP: no deviation within a minute, and packets as tshark reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.utils import RawPcapNgReader

from tests.support.fastpath import needs_kernel_data_path
from tests.support.suite import Run
from vxlab.conformance import frames
from vxlab.conformance.candidate import PYTHON, Candidate
from vxlab.conformance.catalogue import rows_of
from vxlab.conformance.session import judge_all
from vxlab.conformance.verdict import Verdict
from vxlab.conformance.wiring import OWN_MAC

PORTS = (4789, 8472)
WITHIN_S = 60
FIELDS = (
    *("ip.src", "ip.dst", "ipv6.src", "ipv6.dst"),
    *("udp.srcport", "udp.dstport", "udp.length", "udp.checksum.status"),
    *("vxlan.flags", "vxlan.gbp", "vxlan.vni", "vxlan.reserved8"),
    *("eth.dst", "eth.src", "frame.len", "frame.protocols"),
)
TUNNEL = re.compile(r"eth:ethertype:(ip|ipv6):udp:vxlan")  # not the one quoted in an ICMP error
NO_CHECKSUM, GOOD_CHECKSUM = "3", "1"  # as tshark numbers them


def test_no_row_deviates(run: Run) -> None:
    deviating = {
        each.row.id: each.finding.text
        for each in run.report.judged
        if each.finding.verdict is Verdict.DEVIATES
    }
    assert deviating == {}


CHOSEN = {
    "N15": "DF is set: routers report, but do not fragment",
    "N16": "reassembled",
    "N29.ipv6": "dropped",
    "N31": "verified",
    "M17": "from the VM: not sent; from the tunnel: not delivered",
}


def test_it_takes_the_documented_choices(run: Run) -> None:
    chosen = {
        each.row.id: each.finding.text
        for each in run.report.judged
        if each.finding.verdict is Verdict.ALLOWED
    }
    assert chosen == CHOSEN


def test_all_but_the_tagged_underlay_can_be_observed(run: Run) -> None:
    """A kernel without 802.1Q cannot make the tagged interface."""
    hidden = {
        each.row.id for each in run.report.judged if each.finding.verdict is Verdict.UNOBSERVABLE
    }
    assert hidden <= {"N37.vlan"}


def test_the_suite_finishes_within_a_minute(run: Run) -> None:
    assert run.report.seconds < WITHIN_S


@needs_kernel_data_path
def test_the_verdicts_are_the_same_on_both(run: Run) -> None:
    kernel = {each.row.id: each.finding.verdict for each in run.report.judged}  # by default
    candidate = Candidate("python", (*PYTHON.command, "--datapath", "python"))
    judged = judge_all(candidate, rows_of())
    python = {each.row.id: each.finding.verdict for each in judged}
    assert Verdict.DEVIATES not in python.values()
    assert kernel == python


def sent_by_the_vtep(capture: Path) -> Iterator[frames.VxlanPacket]:
    """The VXLAN packets of a capture that the VTEP sent, as the suite parses them."""
    for data, _ in RawPcapNgReader(str(capture)):
        if data[6:12].hex(":") == OWN_MAC:
            found = [packet for port in PORTS if (packet := frames.parse_vxlan(data, port))]
            yield from found


def as_tshark_prints(packet: frames.VxlanPacket) -> dict[str, str]:
    """The fields that tshark must print for a packet."""
    network = {"ip.src": "", "ip.dst": "", "ipv6.src": "", "ipv6.dst": ""}
    version = "ipv6" if ":" in packet.source else "ip"
    network |= {f"{version}.src": packet.source, f"{version}.dst": packet.destination}
    unchecked = packet.udp_checksum == 0
    return {
        **network,
        "udp.srcport": str(packet.source_port),
        "udp.dstport": str(packet.port),
        "udp.length": str(packet.udp_length),
        "udp.checksum.status": NO_CHECKSUM if unchecked else GOOD_CHECKSUM,
        "vxlan.flags": f"0x{int.from_bytes(packet.header[:2], 'big'):04x}",
        "vxlan.gbp": str(int.from_bytes(packet.header[2:4], "big")),
        "vxlan.vni": str(packet.vni),
        "vxlan.reserved8": str(packet.header[7]),
        "eth.dst": f"{packet.destination_mac} {packet.inner[:6].hex(':')}",
        "eth.src": f"{OWN_MAC} {packet.inner[6:12].hex(':')}",
        "frame.len": str(len(packet.raw)),
    }


def read_by_tshark(capture: Path) -> list[dict[str, str]]:
    """The same packets as tshark parses them; the outer one of headers that occur twice."""
    decode = [word for port in PORTS for word in ("-d", f"udp.port=={port},vxlan")]
    listing = subprocess.run(
        ["tshark", "-r", str(capture), *decode, "-o", "udp.check_checksum:TRUE",
         "-o", "udp.ignore_ipv6_zero_checksum:TRUE",  # RFC 6935 permits it for tunnels
         "-Y", f"vxlan and eth.src[0:6] == {OWN_MAC}", "-T", "fields", "-E", "aggregator= ",
         *(word for field in FIELDS for word in ("-e", field))],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rows = (dict(zip(FIELDS, line.split("\t"), strict=True)) for line in listing.splitlines())
    return [_outer(row) for row in rows if TUNNEL.match(row.pop("frame.protocols"))]


def _outer(row: dict[str, str]) -> dict[str, str]:
    version = "ip" if row["ip.src"] and _comes_first(row) else "ipv6"
    other = "ipv6" if version == "ip" else "ip"
    for end in ("src", "dst"):
        row[f"{version}.{end}"] = row[f"{version}.{end}"].split(" ")[0]
        row[f"{other}.{end}"] = ""
    for name, value in row.items():
        if name.startswith(("udp.", "vxlan.")):
            row[name] = value.split(" ")[0]
        elif name.startswith("eth."):
            row[name] = " ".join(value.split(" ")[:2])
    return row


def _comes_first(row: dict[str, str]) -> bool:
    return row["ip.src"].startswith("192.0.2.")


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is missing")
def test_tshark_parses_every_packet_as_the_suite_does(run: Run) -> None:
    ours = [as_tshark_prints(packet) for packet in sent_by_the_vtep(run.capture)]
    theirs = read_by_tshark(run.capture)
    assert len(ours) > 1000
    different = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    assert different[:3] == []
