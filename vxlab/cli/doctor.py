"""`vxlab doctor`: what this machine lacks. It imports neither Mininet nor Scapy."""

from __future__ import annotations

import sys

import click

from vxlab.console import as_json, table
from vxlab.setup.doctor import Check, checks


@click.command()
@click.option("--json", "json_", is_flag=True, help="One JSON document on stdout.")
def doctor(json_: bool) -> None:
    """What this machine has and lacks, and the commands that install it."""
    found = checks()
    if json_:
        as_json([vars(check) for check in found])
    else:
        rows = [(check.name, _verdict(check), check.detail, check.cure) for check in found]
        table(["what", "is", "detail", "cure"], rows)
        for check in found:
            for line in check.lines:
                click.echo(f"{check.name}: {line}")
    sys.exit(any(check.needed and not check.ok for check in found))


def _verdict(check: Check) -> str:
    return "ok" if check.ok else ("LACKING" if check.needed else "absent")
