"""The results for people and programs: terminal table, JSON, and a Markdown page."""

from __future__ import annotations

import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import NoPayload, Raw

from vxlab.conformance.candidate import Candidate
from vxlab.conformance.catalogue import Row
from vxlab.conformance.session import Judged
from vxlab.conformance.verdict import Packet, Verdict
from vxlab.console import table

_HEX_BYTES = 96


@dataclass(frozen=True)
class ConformanceReport:
    """The results of all rows for one VTEP."""

    candidate: Candidate
    judged: tuple[Judged, ...]
    seconds: float

    @property
    def failures(self) -> list[Judged]:
        """The binding rows from which the VTEP deviates."""
        return [
            each
            for each in self.judged
            if each.row.binding and each.finding.verdict is Verdict.DEVIATES
        ]

    def of(self, row: Row) -> Judged | None:
        """The result of one row."""
        return next((each for each in self.judged if each.row.id == row.id), None)

    def summary(self) -> dict[str, int]:
        """The number of rows with each verdict."""
        counted = Counter(each.finding.verdict for each in self.judged)
        return {verdict.value: counted[verdict] for verdict in Verdict}


def decoded(packet: Packet) -> list[str]:
    """A packet as Scapy decodes it, one line for each layer."""
    lines = []
    layer = Ether(packet.data)
    while not isinstance(layer, NoPayload):
        if isinstance(layer, Raw):
            lines.append(f"{len(layer.load)} bytes: {_shortened(layer.load.hex())}")
            break
        if isinstance(layer, VXLAN):
            lines.append(f"VXLAN: header {bytes(layer)[:8].hex()}, VNI {layer.vni}")
            layer = layer.payload
            continue
        fields = (f"{f.name}={f.i2repr(layer, layer.getfieldval(f.name))}" for f in _shown(layer))
        lines.append(f"{layer.name}: {' '.join(fields)}")
        layer = layer.payload
    return lines


def _shown(layer: Any) -> Iterable[Any]:
    return (field for field in layer.fields_desc if field.name in layer.fields)


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * _HEX_BYTES else f"{text[: 2 * _HEX_BYTES]}..."


def as_json(report: ConformanceReport) -> dict[str, Any]:
    """One VTEP's report as a JSON document."""
    return {
        "vtep": report.candidate.name,
        "command": list(report.candidate.command),
        "seconds": round(report.seconds, 1),
        "conforms": not report.failures,
        "summary": report.summary(),
        "rows": [_row_json(each) for each in report.judged],
    }


def _row_json(each: Judged) -> dict[str, Any]:
    found = each.finding.as_json()
    for packet, document in zip(each.finding.packets, found["packets"], strict=True):
        document["decoded"] = decoded(packet)
    return {
        "id": each.row.id,
        "section": each.row.section,
        "kind": each.row.kind,
        "statement": each.row.statement,
        "setup": each.row.setup.name,
        **found,
        "seconds": each.seconds,
    }


def _cells(row: Row) -> list[str]:
    return [row.id, row.section, row.kind, row.statement]


def print_table(report: ConformanceReport) -> None:
    """Print the rows as a table, the packets of each deviation, and a summary line."""
    columns = ["row", "section", "kind", "statement", "verdict", "found"]
    rows = [
        [*_cells(each.row), each.finding.verdict.value, each.finding.text] for each in report.judged
    ]
    table(columns, rows, title=f"VTEP: {report.candidate.name}")
    for each in report.judged:
        if each.finding.verdict is Verdict.DEVIATES:
            print(f"\n{each.row.id} deviates: {each.finding.text}")
            print("\n".join(f"  {line}" for line in evidence(each)))
    print(f"\n{_summary_line(report)}")


def evidence(each: Judged) -> list[str]:
    """The packets of a deviation as lines: what was sent and what came out, decoded and in hex."""
    lines = []
    for packet in _first_of_each(each.finding.packets):
        lines.append(f"{packet.where}, {len(packet.data)} bytes")
        lines += [f"  {line}" for line in decoded(packet)]
        lines.append(f"  hex: {_shortened(packet.data.hex())}")
    return lines


def _first_of_each(packets: Sequence[Packet]) -> list[Packet]:
    """The first packet of each port and direction."""
    first: dict[str, Packet] = {}
    for packet in packets:
        first.setdefault(packet.where, packet)
    return list(first.values())


def _summary_line(report: ConformanceReport) -> str:
    counted = ", ".join(f"{times} {words}" for words, times in report.summary().items() if times)
    failures = ", ".join(each.row.id for each in report.failures)
    verdict = (
        f"deviates from binding rows: {failures}" if failures else "conforms to all binding rows"
    )
    return f"{report.candidate.name}: {counted} in {report.seconds:.0f} s; {verdict}"


def as_markdown(reports: Sequence[ConformanceReport], command: str) -> str:
    """A page with several VTEPs side by side; command: what generates it again."""
    names = [report.candidate.name for report in reports]
    rows = [each.row for each in reports[0].judged]
    lines = [
        "# Conformance of VTEPs to RFC 7348",
        "",
        f"This page is generated by `{command}`. Each row is a statement about a VTEP. The suite",
        "judges it from outside: it sends and observes packets at a VM port and an underlay port.",
        "",
        "Rows of the kinds MUST, MUST NOT, SHOULD, SHOULD NOT and RECOMMENDED are binding. A `MAY`",
        "row names a permitted choice. A `plain` row is described in the document without such a",
        "keyword, or is behaviour that users expect of any VTEP. Sections are those of RFC 7348",
        "unless another document is named.",
        "",
        f"This run used {_versions()}. Open vSwitch ran with its userspace datapath.",
        "",
        *_markdown_table(["", *(verdict.value for verdict in Verdict), "seconds"], [
            [report.candidate.name, *report.summary().values(), f"{report.seconds:.0f}"]
            for report in reports
        ]),
        "",
        "## Rows",
        "",
        *_markdown_table(["row", "section", "kind", "statement", *names], [
            [*_cells(row), *(_cell(report, row) for report in reports)] for row in rows
        ]),
    ]  # fmt: skip
    for report in reports:
        lines += _deviations(report)
    return "\n".join(lines).rstrip() + "\n"


def _versions() -> str:
    """The versions of kernel and Open vSwitch: the deviations depend on them."""
    try:
        said = subprocess.run(["ovs-vswitchd", "--version"], capture_output=True, text=True).stdout
    except OSError:
        said = ""
    switch = re.search(r"\d+\.\d+\.\d+", said)
    kernel = ".".join(platform.release().split(".")[:2])
    return f"Linux {kernel}, Open vSwitch {switch.group() if switch else 'missing'}"


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in cells]


def _cell(report: ConformanceReport, row: Row) -> str:
    each = report.of(row)
    if each is None:
        return "-"
    verdict, text = each.finding.verdict, each.finding.text
    shown = f"**{verdict.value}**" if verdict is Verdict.DEVIATES else verdict.value
    return f"{shown}: {text}" if text else shown


def _deviations(report: ConformanceReport) -> list[str]:
    found = [each for each in report.judged if each.finding.verdict is Verdict.DEVIATES]
    lines = ["", f"## Deviations of {report.candidate.name}"]
    if not found:
        return [*lines, "", "None."]
    for each in found:
        lines += ["", f"### {report.candidate.name}, {each.row.id}: {each.finding.text}", ""]
        lines += [f"{each.row.kind}, section {each.row.section}: {each.row.statement}", ""]
        if each.finding.packets:
            lines += ["```text", *evidence(each), "```"]
    return lines
