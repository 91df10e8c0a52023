"""`vxlab doctor`: what this machine lacks. It imports neither Mininet nor Scapy."""

from __future__ import annotations

import sys

import click

from vxlab.console import as_json, table
from vxlab.setup.doctor import Check, checks


@click.command()
@click.option("--json", "json_", is_flag=True, help="Print one JSON document.")
def doctor(json_: bool) -> None:
    """Check this machine, and show how to fix what is missing."""
    found = checks()
    if json_:
        as_json([vars(check) for check in found])
    else:
        rows = [(check.name, _verdict(check), check.detail, check.fix) for check in found]
        table(["check", "result", "detail", "fix"], rows)
        for check in found:
            for line in check.lines:
                click.echo(f"{check.name}: {line}")
    sys.exit(any(check.needed and not check.ok for check in found))


def _verdict(check: Check) -> str:
    return "ok" if check.ok else ("MISSING" if check.needed else "absent")
