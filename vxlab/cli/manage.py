"""Commands that bring labs up and down and act on them."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from vxlab.console import Progress, as_json, table
from vxlab.control import rpc
from vxlab.errors import LabError, UsageError
from vxlab.lab.bringup import bring_up, ended_by_signals, stay
from vxlab.lab.enter import execute
from vxlab.lab.handle import Lab, find, labs
from vxlab.topology import registry
from vxlab.topology.options import COMMON
from vxlab.topology.overlay import OverlayTopo

json_option = click.option("--json", "json_", is_flag=True, help="One JSON document on stdout.")
lab_option = click.option("--lab", metavar="LAB", help="Which lab, where several run.")
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set an option (`vxlab list`)."
)


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """`("a=1", "b.hv1=2")` as a dictionary; UsageError for what is no KEY=VALUE."""
    parsed = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"--set {text}: KEY=VALUE is wanted")
        parsed[key] = value
    return parsed


def announce_dead(lab: Lab) -> bool:
    """Say on stderr what of a lab is dead; returns whether anything is."""
    dead = lab.dead()
    for line in dead:
        print(f"vxlab: {line}", file=sys.stderr)
    return bool(dead)


def find_alive(name: str | None) -> Lab:
    """The lab of that name or the only one; LabError if it is dead, a word on what of it is."""
    lab = find(name)
    if not lab.init:
        raise LabError(lab.dead()[0])
    announce_dead(lab)
    return lab


@click.command("list")
@json_option
def list_(json_: bool) -> None:
    """Topologies, with a line each and their options."""
    found = [(name, registry.load(name)) for name in registry.names()]
    if json_:
        as_json([_topology_row(name, topology) for name, topology in found])
        return
    table(["topology", "what it is"], [(name, _first_line(topology)) for name, topology in found])
    rows = [
        (name, option.name, option.default, option.kind.allowed, option.help)
        for name, topology in found
        for option in topology.options
    ]
    rows += [
        (
            "(all)",
            f"{option.name}{'[.HYPERVISOR]' * option.per_hypervisor}",
            option.default,
            option.kind.allowed,
            option.help,
        )
        for option in COMMON
    ]
    print()
    table(["topology", "option (--set KEY=VALUE)", "default", "allowed", "meaning"], rows)


def _first_line(topology: type) -> str:
    return (topology.__doc__ or "").strip().splitlines()[0]


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
@click.argument("topology")
@click.option("--name", metavar="LAB", help="The lab's name; the topology's by default.")
@click.option("-d", "--detach", is_flag=True, help="Return when the lab is READY; it stays.")
@set_option
def up(topology: str, name: str | None, detach: bool, settings: tuple[str, ...]) -> None:
    """Bring a lab up: in the Mininet CLI, or to stay with -d."""
    options = parse_settings(settings)
    topo = registry.build(topology, options)
    name = name or os.path.basename(topology).removesuffix(".py")
    mode = "detached" if detach else "interactive"
    with ended_by_signals():
        lab, keeper = _bring_up_and_announce(topology, topo, options, name, mode)
        if not detach:
            sys.stdout.flush()
            stay(lab, keeper)


def _bring_up_and_announce(
    topology: str, topo: OverlayTopo, options: dict[str, str], name: str, mode: str
) -> tuple[Lab, int]:
    progress = Progress(f"{name}:")
    started = time.monotonic()
    try:
        lab, keeper = bring_up(topology, topo, options, name, mode, progress)
    finally:
        progress.done()
    took = time.monotonic() - started
    count = len(lab.hypervisors())
    print(f"lab {lab.name} is READY: {count} hypervisors, {len(lab.nodes('vm'))} VMs, {took:.1f} s")
    return lab, keeper


@click.command()
@click.argument("lab", required=False)
@click.option("--all", "all_", is_flag=True, help="Every lab there is.")
def down(lab: str | None, all_: bool) -> None:
    """Tear a lab down, also one whose parts were killed."""
    for found in labs() if all_ else [find(lab)]:
        found.end()
        print(f"lab {found.name} is down")


@click.command()
@json_option
def ps(json_: bool) -> None:
    """Labs that run, and what of them is dead."""
    rows = [_ps_row(lab) for lab in labs()]
    if json_:
        as_json(rows)
        return
    columns = [
        "name",
        "topology",
        "state",
        "up_s",
        "hypervisors",
        "vms",
        "datapath",
        "forwarding",
        "dead",
    ]
    for row in rows:
        row["forwarding"] = _in_short(row["forwarding"])
    table(columns, [[row[column] for column in columns] for row in rows])


def _in_short(forwarding: dict[str, dict[str, str]]) -> str | None:
    """Which data path how many VTEPs run on; for those in Python, why."""
    told = [
        each["datapath"] + (f" ({each['why']})" if each["datapath"] == "python" else "")
        for each in forwarding.values()
    ]
    if len(set(told)) <= 1:
        return told[0] if told else None
    return ", ".join(f"{told.count(words)} {words}" for words in dict.fromkeys(told))


def _forwarding(lab: Lab) -> dict[str, dict[str, str]]:
    """By hypervisor: its VTEP's data path, and why it is that one."""
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
        "dead": [part for part, lives, _ in lab.health() if not lives] if alive else [],
        "directory": str(lab.directory.path),
    }


@click.command("exec", context_settings={"allow_interspersed_args": False})
@lab_option
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def exec_(lab: str | None, node: str, command: tuple[str, ...]) -> None:
    """Run a command in a node: exec NODE -- CMD..."""
    words = list(command[1:] if command[0] == "--" else command)
    if not words:
        raise UsageError("exec: a command is wanted after --")
    found = find_alive(lab)
    row = found.node(node)
    sys.exit(execute(found.directory, found.init, row["name"], row["kind"], words))


@click.command()
@lab_option
@click.argument("part")
def restart(lab: str | None, part: str) -> None:
    """Restart an agent, controller or ovs-vswitchd.

    PART is a hypervisor (its agent is restarted), "controller" or "ovs-vswitchd".
    """
    found = find_alive(lab)
    rpc.ask(found.directory.socket, "restart", part=part)
    print(f"{part} of lab {found.name} runs")


@click.command()
@lab_option
@click.argument("vm")
@click.argument("hypervisor")
def move(lab: str | None, vm: str, hypervisor: str) -> None:
    """Move a VM to another hypervisor.

    As a live migration ends: its cable is replugged, and a gratuitous ARP says so.
    """
    found = find_alive(lab)
    rpc.ask(found.directory.socket, "move", vm=vm, hypervisor=hypervisor)
    print(f"{vm} is on {hypervisor}")


MANAGE_COMMANDS: list[click.Command] = [list_, up, down, ps, exec_, restart, move]
