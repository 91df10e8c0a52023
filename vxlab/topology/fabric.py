"""The underlay's switches as a tree, and what they must have snooped before READY. Pure."""

from __future__ import annotations

from collections import defaultdict

from vxlab.topology.overlay import OverlayTopo

Snooping = dict[int, dict[str, set[int]]]  # datapath id -> group -> ports towards its members


def peers(topo: OverlayTopo) -> dict[str, dict[int, str]]:
    """For each underlay switch, which node its ports lead to."""
    return {
        switch: {port: link[0] for port, link in topo.ports[switch].items()}
        for switch in topo.underlay_switches
    }


def dpid(topo: OverlayTopo, switch: str) -> int:
    """The datapath id of an underlay switch."""
    return int(topo.nodeInfo(switch)["dpid"], 16)


def _toward(peers_of: dict[str, dict[int, str]], target: str) -> dict[str, int]:
    """For each switch, the port that leads to the node `target`, by a walk from it."""
    ports: dict[str, int] = {}
    frontier = [target]
    while frontier:
        node = frontier.pop()
        for switch, links in peers_of.items():
            for port, peer in links.items():
                if peer == node and switch not in ports and switch != target:
                    ports[switch] = port
                    frontier.append(switch)
    return ports


def expected_snooping(topo: OverlayTopo) -> Snooping:
    """Which ports of each switch must lead to which group once all VTEPs have joined.

    Groups that the switches flood are left out.
    """
    peers_of = peers(topo)
    expected: Snooping = {dpid(topo, switch): defaultdict(set) for switch in peers_of}
    for hypervisor in topo.hypervisors.values():
        groups = {group for group in hypervisor.groups() if topo.family.snoops(group)}
        for switch, port in _toward(peers_of, hypervisor.name).items():
            for group in groups:
                expected[dpid(topo, switch)][group].add(port)
    return expected
