"""Which VTEPs are in which group: as the agents report it, and as the switches snooped it."""

from __future__ import annotations

from typing import Any

from vxlab.control import rpc
from vxlab.lab.handle import Lab
from vxlab.system.directory import LabDirectory
from vxlab.topology.overlay import OverlayTopo


def group_rows(lab: Lab) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of `vxlab groups --json`, and the hypervisors that did not answer."""
    answers, dead = lab.ask_agents("groups")
    joined: dict[tuple[int, str], list[str]] = {}
    for name, rows in answers:
        for row in rows:
            members = joined.setdefault((row["vni"], row["group"]), [])
            if row["joined"]:
                members.append(name)
    snooped = snooped_by_group(lab)
    return [
        {"vni": vni, "group": group, "joined": members, "snooped": snooped.get(group, {})}
        for (vni, group), members in sorted(joined.items())
    ], dead


def snooped_by_group(lab: Lab) -> dict[str, dict[str, list[str]]]:
    """For each group, the neighbours each underlay switch sends it to; empty without controller."""
    try:
        rows = rpc.ask(lab.directory.controller_socket, "groups")
    except rpc.Unreachable:
        return {}
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        switch = lab.state["dpids"][str(row["dpid"])]
        ports = lab.state["peers"][switch]
        names = [ports[str(port["port"])] for port in row["ports"] if str(port["port"]) in ports]
        found.setdefault(row["group"], {})[switch] = sorted(names)
    return found


def not_joined(directory: LabDirectory, topo: OverlayTopo) -> str | None:
    """Which VTEP's kernel is not in a group that the switches flood; None if all are.

    The other groups are checked at the switches, which snoop them.
    """
    for hypervisor in topo.hypervisors.values():
        wanted = {group for group in hypervisor.groups() if not topo.family.snoops(group)}
        if not wanted:
            continue
        rows = rpc.ask(directory.agent_socket(hypervisor.name), "groups")
        if missing := wanted - {row["group"] for row in rows if row["joined"]}:
            return f"{hypervisor.name}: not in group {', '.join(sorted(missing))}"
    return None
