"""When a lab is READY: what must be true, asked of agents and controller.

Each function returns a condition for `await_condition`: None when it holds, else what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

from vxlab.control import rpc
from vxlab.lab.components import Components
from vxlab.lab.groups import not_joined
from vxlab.system.directory import LabDirectory
from vxlab.topology.fabric import dpid, expected_snooping
from vxlab.topology.families import mac_of
from vxlab.topology.overlay import OverlayTopo

Condition = Callable[[], str | None]


def switches_connected(directory: LabDirectory, topo: OverlayTopo) -> Condition:
    """All underlay switches have connected to the controller."""
    wanted = {dpid(topo, switch): switch for switch in topo.underlay_switches}

    def unmet() -> str | None:
        seen = rpc.ask(directory.controller_socket, "ready")["switches"]
        missing = sorted(name for number, name in wanted.items() if number not in seen)
        if not missing:
            return None
        log = directory.log("controller")
        return f"not connected to the controller: {', '.join(missing)} (log: {log})"

    return unmet


def agents_ready(components: Components, topo: OverlayTopo) -> Condition:
    """All VTEP agents serve."""
    waiting = list(topo.hypervisors)

    def unmet() -> str | None:
        while waiting:
            if missing := components.agent_missing(waiting[-1]):
                return missing
            waiting.pop()
        return None

    return unmet


def groups_joined(directory: LabDirectory, topo: OverlayTopo) -> Condition:
    """All VTEPs have joined their groups, and every underlay switch has snooped it."""
    expected = expected_snooping(topo)

    def unmet() -> str | None:
        if outside := not_joined(directory, topo):
            return outside
        found: dict[tuple[int, str], set[int]] = {
            (row["dpid"], row["group"]): {port["port"] for port in row["ports"]}
            for row in rpc.ask(directory.controller_socket, "groups")
        }
        for switch, groups in expected.items():
            for group, ports in groups.items():
                if missing := ports - found.get((switch, group), set()):
                    return f"switch {switch}: group {group} not snooped on ports {sorted(missing)}"
        return None

    return unmet


def addresses_learned(directory: LabDirectory, topo: OverlayTopo) -> Condition:
    """Every underlay switch has learned the address of every VTEP that has joined a group.

    Otherwise the first unicast packets to a VTEP would be flooded. The reports that the querier
    asked for show the VTEPs to the switches. VTEPs without groups have sent nothing yet.
    """
    vteps = {mac_of(each.underlay) for each in topo.hypervisors.values() if each.groups()}
    wanted = {(dpid(topo, switch), mac) for switch in topo.underlay_switches for mac in vteps}

    def unmet() -> str | None:
        hosts = rpc.ask(directory.controller_socket, "hosts")
        missing = wanted - {(row["dpid"], row["mac"]) for row in hosts}
        return f"not learned, as (switch, MAC): {sorted(missing)[:3]}" if missing else None

    return unmet
