"""Reconciliation: the flows a switch should have against the flows it has. Pure, no I/O.

`Reconciliation` derives the flows of each switch from the `Underlay`, compares them with the flows
that are known to be installed, and returns the difference as effects. `restore_state` works in the
other direction: it rebuilds addresses, memberships and router ports from the flows that an earlier
controller left on a switch. A restarted controller therefore changes no flow that is correct, and
traffic is not interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import tables
from .flows import DeleteFlow, Effect, Flow, FlowKey, SetFlow
from .protocols import Protocol, protocol_of
from .switching import learnable
from .underlay import Underlay


class Reconciliation:
    """The flows known to be installed on each switch, and the effects that correct them.

    The effects must be executed in order: each call assumes that all earlier effects were.
    """

    def __init__(self, underlay: Underlay) -> None:
        self._underlay = underlay
        self._installed: dict[int, dict[FlowKey, Flow]] = {}

    def set_installed(self, dpid: int, flows: Iterable[Flow]) -> None:
        """The switch has reported all its flows."""
        self._installed[dpid] = {flow.key: flow for flow in flows}

    def flow_lost(self, dpid: int, flow: Flow) -> None:
        """The switch no longer has this flow, although no effect removed it."""
        self._installed[dpid].pop(flow.key, None)

    def install(self, dpid: int, flows: Iterable[Flow]) -> list[Effect]:
        """Set the flows that differ from the installed ones."""
        effects: list[Effect] = []
        installed = self._installed[dpid]
        for flow in flows:
            # The key does not contain outputs and timeouts: compare the whole flow.
            if installed.get(flow.key) != flow:
                installed[flow.key] = flow
                effects.append(SetFlow(dpid, flow))
        return effects

    def remove(self, dpid: int, flows: Iterable[Flow]) -> list[Effect]:
        """Delete those of the flows that are installed."""
        gone = [self._installed[dpid].pop(flow.key, None) for flow in flows]
        return [DeleteFlow(dpid, flow) for flow in gone if flow is not None]

    def sync_switch(self, dpid: int) -> list[Effect]:
        """Bring all flows of a switch up to date.

        Additions come before deletions, so that no frame meets a table without its flow.
        """
        desired = self._desired(dpid)
        keys = {flow.key for flow in desired}
        stale = [flow for key, flow in self._installed[dpid].items() if key not in keys]
        return self.install(dpid, desired) + self.remove(dpid, stale)

    def sync_multicast(self) -> list[Effect]:
        """Bring router and group flows of all connected switches up to date.

        Needed when links or router ports change: every group flow can depend on them.
        """
        effects: list[Effect] = []
        for dpid in sorted(self._underlay.connected):
            effects += self.install(dpid, self._routers_flows(dpid))
        flows = [flow for table in self._installed.values() for flow in table.values()]
        # Groups without members are included: their flows are still installed.
        groups = {group for flow in flows if (group := tables.group_of(flow)) is not None}
        for group in sorted(groups | set(self._underlay.groups())):
            effects += self.sync_group(group)
        return effects

    def sync_group(self, group: str) -> list[Effect]:
        """Bring a group's flow on all connected switches up to date."""
        effects: list[Effect] = []
        has_members = bool(self._underlay.snooping_of(group).members(group))
        for dpid in sorted(self._underlay.connected):
            flow = tables.group_flow(group, self._underlay.group_ports(dpid, group))
            effects += self.install(dpid, [flow]) if has_members else self.remove(dpid, [flow])
        return effects

    def _desired(self, dpid: int) -> list[Flow]:
        """All flows that a switch should have."""
        desired = tables.base_flows() + self._routers_flows(dpid)
        for mac, number in self._underlay.switching.hosts(dpid):
            desired += tables.host_flows(mac, number)
        for group in self._underlay.groups():
            desired.append(tables.group_flow(group, self._underlay.group_ports(dpid, group)))
        return desired

    def _routers_flows(self, dpid: int) -> list[Flow]:
        return [
            tables.routers_flow(protocol, self._underlay.router_ports(dpid, protocol))
            for protocol in self._underlay.snooping
        ]


def restore_state(underlay: Underlay, dpid: int, flows: list[Flow], now: float) -> None:
    """Rebuild addresses, memberships and router ports of a switch from the flows it reported.

    Links are not known yet. A link port is therefore restored as a member at first, and loses the
    membership when a probe shows the link (see `pipeline`).
    """
    usable = set(underlay.ports(dpid))
    routers = {
        each: _restore_routers(underlay, dpid, each, flows, now) for each in underlay.snooping
    }
    # Table 1 first: if a controller ended while an address moved, the address can have two source
    # flows, but only one destination flow, which has the new port.
    for flow in sorted(flows, key=lambda flow: flow.table, reverse=True):
        host, group = tables.host_of(flow), tables.group_of(flow)
        if host is not None and host[1] in usable and learnable(host[0]):
            mac, number = host
            known = underlay.switching.port(dpid, mac)
            underlay.switching.learn(dpid, mac, known or number, now)
        if group is not None:
            # A group flow also outputs to router ports, which are not members for that reason.
            for number in usable.intersection(flow.outputs) - routers[protocol_of(group)]:
                underlay.snooping_of(group).restore(group, (dpid, number), now)


def _restore_routers(
    underlay: Underlay, dpid: int, protocol: Protocol, flows: list[Flow], now: float
) -> set[int]:
    known = [flow for flow in flows if tables.leads_to_routers(flow, protocol)]
    ports = {number for flow in known for number in flow.outputs}
    ports &= set(underlay.ports(dpid))
    for number in ports:
        underlay.snooping[protocol].restore_router((dpid, number), now)
    return ports
