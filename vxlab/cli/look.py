"""Commands that show the state of a lab or of this machine: nodes, fdb, groups, stats, version."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from vxlab.cli import complete
from vxlab.cli.choose import announce_dead, json_option, lab_argument, lab_option
from vxlab.console import as_json, table
from vxlab.control import rpc
from vxlab.lab.groups import group_rows
from vxlab.lab.handle import Lab, find
from vxlab.setup import versions
from vxlab.topology.families import family_of


@click.command()
@lab_argument
@json_option
def nodes(lab: str | None, json_: bool) -> None:
    """Show nodes with kind, addresses, VLAN and VNI."""
    found = find(lab)
    rows = [row | {"links_down": found.links_down(row["name"])} for row in found.nodes()]
    if json_:
        as_json(rows)
    else:
        columns = ["name", "kind", "hypervisor", "ip", "mac", "vlan", "vni", "links_down"]
        heads = [*columns[:-1], "links down to"]
        table(heads, [[_cell(row, column) for column in columns] for row in rows])
    sys.exit(announce_dead(found))


def _cell(row: dict[str, Any], column: str) -> Any:
    """A cell of `nodes`; a hypervisor has several VNIs."""
    return row.get("vnis", row["vni"]) if column == "vni" else row[column]


@click.command()
@lab_option
@click.argument("hypervisor", required=False, shell_complete=complete.hypervisors)
@json_option
def fdb(lab: str | None, hypervisor: str | None, json_: bool) -> None:
    """Show learned tables: which MAC is behind which VTEP."""
    columns = ["hypervisor", "vni", "mac", "remote", "port", "kind", "age_s"]
    _show_agents("fdb", lab, hypervisor, json_, columns, lambda row: [row[c] for c in columns])


def _show_agents(
    request: str,
    lab: str | None,
    hypervisor: str | None,
    json_: bool,
    columns: list[str],
    cells: Callable[[dict[str, Any]], list[Any] | None],
) -> NoReturn:
    """Show the agents' answers to a request, and exit; cells: of a row, None to leave it out."""
    found = find(lab)
    answers, dead = found.ask_agents(request, hypervisor)
    rows = [row for _, answer in answers for row in answer]
    if json_:
        as_json(rows)
    else:
        table(columns, [shown for row in rows if (shown := cells(row)) is not None])
    sys.exit(_report_silent(found, dead))


def _report_silent(lab: Lab, dead: list[str]) -> bool:
    """Report failed components if some agents did not answer, or if the lab is dead."""
    return announce_dead(lab) if dead or not lab.init else False


@click.command()
@lab_option
@json_option
def groups(lab: str | None, json_: bool) -> None:
    """Show each VNI's group, its members and what is snooped."""
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
    """Where the switches send a group; a link-local one goes to every port (RFC 4541 2.1.2)."""
    if not family_of(row["group"]).snoops(row["group"]):
        return "(flooded: a link-local group)"
    by_switch: dict[str, list[str]] = row["snooped"]
    return "; ".join(f"{switch}: {' '.join(names)}" for switch, names in by_switch.items())


@click.command()
@lab_option
@click.argument("hypervisor", required=False, shell_complete=complete.hypervisors)
@json_option
def stats(lab: str | None, hypervisor: str | None, json_: bool) -> None:
    """Show counters by VTEP and VNI, and drops by reason."""
    heads = [
        "hypervisor",
        "vni",
        "sent unicast",
        "sent flood",
        "received unicast",
        "received flood",
        "drops",
    ]
    _show_agents(
        "stats",
        lab,
        hypervisor,
        json_,
        heads,
        lambda row: _stats_cells(row) if _is_of_interest(row) else None,
    )


def _is_of_interest(row: dict[str, Any]) -> bool:
    """Packets of no known VNI have a row, too; it is shown only if there were some."""
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
def version(json_: bool) -> None:
    """Show the versions of vxlab and of what it runs on."""
    found = versions.versions()
    if json_:
        as_json(found)
    else:
        table(["component", "version"], list(found.items()))


LOOK_COMMANDS: list[click.Command] = [nodes, fdb, groups, stats, version]
