"""Commands that look into a lab: nodes, fdb, groups, stats, doctor."""

from __future__ import annotations

import sys
from typing import Any

import click

from vxlab.cli.manage import announce_dead, json_option, lab_option
from vxlab.console import as_json, table
from vxlab.control import rpc
from vxlab.lab.groups import group_rows
from vxlab.lab.handle import Lab, find
from vxlab.setup import doctor as machine
from vxlab.topology.families import family_of


@click.command()
@click.argument("lab", required=False)
@json_option
def nodes(lab: str | None, json_: bool) -> None:
    """Nodes with kind, addresses, VLAN and VNI."""
    found = find(lab)
    rows = found.nodes()
    if json_:
        as_json(rows)
    else:
        columns = ["name", "kind", "hypervisor", "ip", "mac", "vlan", "vni"]
        table(columns, [[row[column] for column in columns] for row in rows])
    sys.exit(announce_dead(found))


@click.command()
@lab_option
@click.argument("hypervisor", required=False)
@json_option
def fdb(lab: str | None, hypervisor: str | None, json_: bool) -> None:
    """Learned tables: which MAC is behind which VTEP."""
    found = find(lab)
    answers, dead = found.ask_agents("fdb", hypervisor)
    rows = [row for _, answer in answers for row in answer]
    if json_:
        as_json(rows)
    else:
        columns = ["hypervisor", "vni", "mac", "remote", "port", "kind", "age_s"]
        table(columns, [[row[column] for column in columns] for row in rows])
    sys.exit(_say_dead(found, dead))


def _say_dead(lab: Lab, dead: list[str]) -> bool:
    """When some did not answer, or the lab as a whole is gone, say so."""
    return announce_dead(lab) if dead or not lab.init else False


@click.command()
@lab_option
@json_option
def groups(lab: str | None, json_: bool) -> None:
    """Per VNI: its group, who joined, what is snooped."""
    found = find(lab)
    rows, dead = group_rows(found)
    if json_:
        as_json(rows)
    else:
        table(
            ["vni", "group", "joined", "snooped"],
            [[row["vni"], row["group"], row["joined"], _snooped(row)] for row in rows],
        )
    without = not rpc.answers(found.directory.controller_socket)
    sys.exit(announce_dead(found) if dead or without else False)


def _snooped(row: dict[str, Any]) -> str:
    """Whom the switches send a group to; a link-local one to everyone."""
    if not family_of(row["group"]).snoops(row["group"]):
        return "(flooded: a link-local group)"
    by_switch: dict[str, list[str]] = row["snooped"]
    return "; ".join(f"{switch}: {' '.join(names)}" for switch, names in by_switch.items())


@click.command()
@lab_option
@click.argument("hypervisor", required=False)
@json_option
def stats(lab: str | None, hypervisor: str | None, json_: bool) -> None:
    """Counters by VTEP and VNI, and drops by reason."""
    found = find(lab)
    answers, dead = found.ask_agents("stats", hypervisor)
    rows = [row for _, answer in answers for row in answer]
    if json_:
        as_json(rows)
    else:
        heads = [
            "hypervisor",
            "vni",
            "sent unicast",
            "sent flood",
            "received unicast",
            "received flood",
            "drops",
        ]
        table(heads, [_stats_cells(row) for row in rows if _says_something(row)])
    sys.exit(_say_dead(found, dead))


def _says_something(row: dict[str, Any]) -> bool:
    """What can be given to no VNI has a row, which is of interest only when there was some."""
    return row["vni"] is not None or any(row["drops"].values())


def _stats_cells(row: dict[str, Any]) -> list[Any]:
    packets = [
        row[way][kind]["packets"]
        for way in ("encapsulated", "decapsulated")
        for kind in ("unicast", "flood")
    ]
    drops = [f"{reason} {count}" for reason, count in row["drops"].items() if count]
    if row.get("not_learned"):
        drops.append(f"(not learned, table full: {row['not_learned']})")
    return [row["hypervisor"], row["vni"], *packets, ", ".join(drops)]


@click.command()
@json_option
def doctor(json_: bool) -> None:
    """What this machine has and lacks, and the cures."""
    checks = machine.checks()
    if json_:
        as_json([vars(check) for check in checks])
    else:
        rows = [(check.name, _verdict(check), check.detail, check.cure) for check in checks]
        table(["what", "is", "detail", "cure"], rows)
        for check in checks:
            for line in check.lines:
                click.echo(f"{check.name}: {line}")
    sys.exit(any(check.needed and not check.ok for check in checks))


def _verdict(check: Any) -> str:
    return "ok" if check.ok else ("LACKING" if check.needed else "absent")


LOOK_COMMANDS: list[click.Command] = [nodes, fdb, groups, stats, doctor]
