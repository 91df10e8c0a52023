"""The command `conformance`: judges VTEPs by the rows of the suite."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vxlab.console import Progress, as_json
from vxlab.errors import LabError, UsageError
from vxlab.system.files import check_writable

if TYPE_CHECKING:
    from vxlab.conformance.candidate import Candidate
    from vxlab.conformance.report import ConformanceReport


@click.command()
@click.option(
    "--vtep",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="A kind of VTEP, such as linux; may be repeated.",
)
@click.option("--vtep-cmd", metavar="CMD", help="Your own VTEP, run as CMD --config FILE.toml.")
@click.option(
    "--no-multicast", is_flag=True, help="With --vtep-cmd: flood by head-end replication."
)
@click.option("--no-trunk", is_flag=True, help="With --vtep-cmd: an untagged port per VNI.")
@click.option("--only", multiple=True, metavar="ROW,...", help="Only these rows, such as N8,N14.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON document.")
@click.option("--markdown", metavar="FILE", help="Write a page with the VTEPs side by side.")
@click.option("-w", "--write", metavar="FILE", help="Write all packets to a pcapng file.")
def conformance(
    kinds: tuple[str, ...], vtep_cmd: str | None, no_multicast: bool, no_trunk: bool,
    only: tuple[str, ...], json_: bool, markdown: str | None, write: str | None,
) -> None:  # fmt: skip
    """Judge VTEPs by RFC 7348, row by row.

    Each VTEP runs alone between a VM port and an underlay port. This command sends and observes
    packets at both. Without --vtep and --vtep-cmd it judges `python`; with --markdown, all kinds.

    Exit status 1 if a VTEP deviates from a binding row (MUST, SHOULD and the like).
    """
    # lazy: Scapy costs 0.3 s, and other commands do not need it
    from vxlab.conformance import candidate

    chosen = [candidate.of_kind(name) for name in kinds]
    if vtep_cmd is not None:
        chosen.append(candidate.of_command(vtep_cmd, not no_multicast, not no_trunk))
    elif no_multicast or no_trunk:
        raise UsageError(
            "--no-multicast and --no-trunk need --vtep-cmd: a kind declares both in its own file"
        )
    if not chosen:
        chosen = list(candidate.kinds().values()) if markdown else [candidate.PYTHON]
    if write and len(chosen) > 1:
        raise UsageError("-w takes the packets of one VTEP; name one with --vtep or --vtep-cmd")
    check_writable(write, markdown)
    reports = [_judge(each, only, write) for each in chosen]
    _print(reports, json_, markdown)
    sys.exit(any(report.failures for report in reports))


def _judge(chosen: Candidate, only: tuple[str, ...], write: str | None) -> ConformanceReport:
    # lazy: as above
    from vxlab.conformance.catalogue import rows_of
    from vxlab.conformance.report import ConformanceReport
    from vxlab.conformance.session import judge_all

    rows = rows_of(only)
    began = time.monotonic()
    progress = Progress(f"vxlab: {chosen.name}")
    judged = {}
    try:
        for number, each in enumerate(judge_all(chosen, rows, write), start=1):
            judged[each.row.id] = each
            progress({"number": number, "of": len(rows), "step": each.row.id})
    except LabError as error:
        raise LabError(f"{chosen.name}: {error}") from None
    finally:
        progress.done()
    in_order = tuple(judged[row.id] for row in rows)
    return ConformanceReport(chosen, in_order, time.monotonic() - began)


def _print(reports: list[ConformanceReport], json_: bool, markdown: str | None) -> None:
    # lazy: as above
    from vxlab.conformance import report as formats

    if markdown:
        command = f"vxlab conformance --markdown {markdown}"
        try:
            Path(markdown).write_text(formats.as_markdown(reports, command))
        except OSError as error:
            raise LabError(f"{markdown}: {error.strerror}") from None
    if json_:
        as_json([formats.as_json(report) for report in reports])
    elif not markdown:
        for report in reports:
            formats.print_table(report)


JUDGE_COMMANDS: list[click.Command] = [conformance]
