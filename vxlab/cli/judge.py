"""The command that judges VTEPs: conformance."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vxlab.console import Progress, as_json
from vxlab.errors import LabError, UsageError

if TYPE_CHECKING:
    from vxlab.conformance.candidate import Candidate
    from vxlab.conformance.report import Report


@click.command()
@click.option("--vtep", "kinds", multiple=True, metavar="KIND", help="A kind of the project's.")
@click.option("--vtep-cmd", metavar="CMD", help="A VTEP of yours, run as CMD --config FILE.toml.")
@click.option("--no-multicast", is_flag=True, help="Yours has no groups, but lists of remotes.")
@click.option("--no-trunk", is_flag=True, help="Yours has an untagged port for each segment.")
@click.option("--only", multiple=True, metavar="ROW", help="These rows alone, such as N14.")
@click.option("--json", "json_", is_flag=True, help="One JSON document instead of tables.")
@click.option("--markdown", metavar="FILE", help="Write a page with the VTEPs side by side.")
@click.option("-w", "--write", metavar="FILE", help="Keep all packets as a pcapng.")
def conformance(
    kinds: tuple[str, ...], vtep_cmd: str | None, no_multicast: bool, no_trunk: bool,
    only: tuple[str, ...], json_: bool, markdown: str | None, write: str | None,
) -> None:  # fmt: skip
    """Judge VTEPs statement by statement against RFC 7348.

    Each runs alone between a VM port and an underlay port, both driven by this command. Without
    --vtep or --vtep-cmd it is `python`; for a page, all kinds. Exit 1 if one deviates from what a
    VTEP must or should do.
    """
    # lazy: Scapy costs 0.3 s, and other commands do without it
    from vxlab.conformance import candidate

    chosen = [candidate.of_kind(name) for name in kinds]
    if vtep_cmd is not None:
        chosen.append(candidate.of_command(vtep_cmd, not no_multicast, not no_trunk))
    elif no_multicast or no_trunk:
        raise UsageError("--no-multicast and --no-trunk are about the VTEP of --vtep-cmd")
    if not chosen:
        chosen = list(candidate.kinds().values()) if markdown else [candidate.PYTHON]
    if write and len(chosen) > 1:
        raise UsageError("-w: packets of one VTEP fit a file; name one")
    reports = [_judge(each, only, write) for each in chosen]
    _tell(reports, json_, markdown)
    sys.exit(any(report.failures for report in reports))


def _judge(chosen: Candidate, only: tuple[str, ...], write: str | None) -> Report:
    # lazy: as above
    from vxlab.conformance.catalogue import rows_of
    from vxlab.conformance.report import Report
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
    return Report(chosen, in_order, time.monotonic() - began)


def _tell(reports: list[Report], json_: bool, markdown: str | None) -> None:
    # lazy: as above
    from vxlab.conformance import report as tell

    if markdown:
        command = f"vxlab conformance --markdown {markdown}"
        try:
            Path(markdown).write_text(tell.as_markdown(reports, command))
        except OSError as error:
            raise LabError(f"{markdown}: {error.strerror}") from None
    if json_:
        as_json([tell.as_json(report) for report in reports])
    elif not markdown:
        for report in reports:
            tell.print_table(report)


JUDGE_COMMANDS: list[click.Command] = [conformance]
