"""Commands about labs as a whole: list, up, down, ps."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from vxlab.cli import complete
from vxlab.cli.choose import json_option, lab_argument, parse_settings, set_option
from vxlab.console import Progress, as_json, table, terminal_restored
from vxlab.errors import UsageError
from vxlab.lab.bringup import bring_up, ended_by_signals, stay
from vxlab.lab.handle import Lab, find, labs
from vxlab.topology import registry
from vxlab.topology.options import COMMON, Option


@click.command("list")
@click.argument("topology", required=False, shell_complete=complete.topologies)
@json_option
def list_(topology: str | None, json_: bool) -> None:
    """List topologies and their options.

    TOPOLOGY is a name or a FILE.py; without it all topologies of the project are listed.
    """
    chosen = registry.names() if topology is None else [topology]
    found = [(name, registry.load(name)) for name in chosen]
    if json_:
        as_json([_topology_row(name, topology) for name, topology in found])
        return
    rows = [(name, _first_line(topology)) for name, topology in found]
    table(["topology", "description"], rows)
    own = [_option_cells(name, each) for name, topology in found for each in topology.options]
    common = [_option_cells("(all)", each) for each in COMMON]
    heads = ["topology", "option (--set KEY=VALUE)", "default", "must be", "meaning"]
    print()
    table(heads, own + common)


def _option_cells(topology: str, option: Option) -> list[Any]:
    key = option.name + "[.HYPERVISOR]" * option.per_hypervisor
    default = option.default
    if isinstance(default, bool):
        default = str(default).lower()  # as --set accepts it
    return [topology, key, default, option.kind.allowed, option.help]


def _first_line(topology: type) -> str:
    return ((topology.__doc__ or "").strip().splitlines() or [""])[0]


def _topology_row(name: str, topology: Any) -> dict[str, Any]:
    return {
        "name": name,
        "summary": _first_line(topology),
        "options": [
            {
                "name": option.name,
                "default": option.default,
                "allowed": option.kind.allowed,
                "help": option.help,
                "per_hypervisor": option.per_hypervisor,
            }
            for option in (*topology.options, *COMMON)
        ],
    }


@click.command()
@click.argument("topology", shell_complete=complete.topologies)
@click.option("--name", metavar="LAB", help="Name of the lab; default: that of the topology.")
@click.option("-d", "--detach", is_flag=True, help="Return when the lab is READY; it stays.")
@set_option
@json_option
def up(
    topology: str, name: str | None, detach: bool, settings: tuple[str, ...], json_: bool
) -> None:
    """Bring up a lab.

    Without -d the command ends in the Mininet CLI, and the lab is taken down when you leave it.
    TOPOLOGY is a name (`vxlab list`) or a FILE.py.
    """
    if json_ and not detach:
        raise UsageError("up --json: needs -d, since the Mininet CLI uses standard output")
    options = parse_settings(settings)
    topo = registry.build(topology, options)
    name = name or os.path.basename(topology).removesuffix(".py")
    progress = Progress(f"{name}:")
    started = time.monotonic()
    mode = "detached" if detach else "interactive"
    with ended_by_signals(), terminal_restored():
        try:
            lab, keeper = bring_up(topology, topo, options, name, mode, progress)
        finally:
            progress.done()
        _announce(lab, time.monotonic() - started, json_)
        if not detach:
            sys.stdout.flush()
            stay(lab, keeper)


def _announce(lab: Lab, took_s: float, json_: bool) -> None:
    if json_:
        as_json(
            {
                "name": lab.name,
                "topology": lab.state["topology"],
                "options": lab.state["options"],
                "state": lab.state["state"],
                "seconds": round(took_s, 3),
                "datapath": lab.state["datapath"],
                "directory": str(lab.directory.path),
                "nodes": lab.nodes(),
            }
        )
        return
    count = len(lab.hypervisors())
    vms = len(lab.nodes("vm"))
    print(f"lab {lab.name} is READY: {count} hypervisors, {vms} VMs, {took_s:.1f} s")


@click.command()
@lab_argument
@click.option("--all", "all_", is_flag=True, help="Take down every lab.")
def down(lab: str | None, all_: bool) -> None:
    """Take down a lab, even if some of its processes were killed."""
    if all_ and lab is not None:
        raise UsageError(f"down: give --all or {lab}, not both")
    for found in labs() if all_ else [find(lab)]:
        found.end()
        print(f"lab {found.name} is down")


@click.command()
@json_option
def ps(json_: bool) -> None:
    """Show labs and which of their components have failed."""
    rows = [_ps_row(lab) for lab in labs()]
    if json_:
        as_json(rows)
        return
    columns = [
        *("name", "topology", "state", "up_s", "hypervisors", "vms"),
        *("datapath", "forwarding", "links_down", "dead"),
    ]
    for row in rows:
        row["forwarding"] = _in_short(row["forwarding"])
        row["links_down"] = ", ".join(row["links_down"])
    heads = [column.replace("_s", "").replace("_", " ") for column in columns]
    table(heads, [[row[column] for column in columns] for row in rows])


def _in_short(forwarding: dict[str, dict[str, str]]) -> str | None:
    """How many VTEPs use which data path; for the Python one, why."""
    texts = [
        each["datapath"] + (f" ({each['why']})" if each["datapath"] == "python" else "")
        for each in forwarding.values()
    ]
    if len(set(texts)) <= 1:
        return texts[0] if texts else None
    return ", ".join(f"{texts.count(text)} {text}" for text in dict.fromkeys(texts))


def _forwarding(lab: Lab) -> dict[str, dict[str, str]]:
    """By hypervisor: its VTEP's data path, and the reason for it."""
    answers, _ = lab.ask_agents("ready")
    return {
        name: {"datapath": ready["datapath"], "why": ready.get("datapath_why", "its kind")}
        for name, ready in answers
    }


def _ps_row(lab: Lab) -> dict[str, Any]:
    alive = bool(lab.init)
    state = lab.state["state"] if alive or lab.state["state"] == "failed" else "dead"
    return {
        "name": lab.name,
        "topology": lab.state["topology"],
        "state": state,
        "up_s": round(time.time() - lab.state["created_s"]) if alive else None,
        "hypervisors": len(lab.nodes("hypervisor")),
        "vms": len(lab.nodes("vm")),
        "datapath": lab.state.get("datapath"),
        "forwarding": _forwarding(lab) if alive else {},
        "links_down": lab.links_down(),
        "dead": [part for part, runs, _ in lab.health() if not runs] if alive else [],
        "directory": str(lab.directory.path),
    }


MANAGE_COMMANDS: list[click.Command] = [list_, up, down, ps]
