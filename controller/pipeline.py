"""The controller's decisions: messages of the switches and `now` in, effects out.

No I/O, no clock, no framework. Each method updates the `Underlay` and returns the effects, in the
order in which they must be executed. The flows come from `reconciliation`.

A switch reports its ports and flows when it connects. If this process has not seen the switch
before, addresses, memberships and router ports are restored from its flows. Flows that are not the
controller's own are removed afterwards by `app`.

Memberships belong to edge ports only. In the tree of links, a group's flow on each switch outputs
to the switch's own members, to router ports, and to each link towards a switch that has either. A
port that was restored as a member and turns out to be part of a link loses that membership. The
members behind the link were restored at their own switches and keep the link in the flow.

The switches do not forward IGMP and MLD by themselves. Reports and leaves are sent to router ports
only (RFC 4541 2.1.1 point 1); queries and unknown message types are sent to all edge ports except
the ingress port. Each protocol has its own memberships, router ports and querier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from . import tables
from .constants import ETHERNET_LENGTH, ETHERTYPE_LLDP, LAST_PHYSICAL_PORT, QUERIER_MAC
from .flows import Effect, Flow, Kind, Notice, PortRef, SendFrame, mac_text
from .links import PROBE_INTERVAL_S, build_probe, parse_probe
from .membership import Leave, Malformed, MembershipReport, Message, Query, Reason
from .reconciliation import Reconciliation, restore_state
from .snooping import Changes, QueryRequest, Settings, Snooping
from .switching import learnable
from .underlay import PortState, Underlay

_LLDP = ETHERTYPE_LLDP.to_bytes(2, "big")


class Pipeline:
    """The decisions for all switches of the underlay."""

    def __init__(self, settings: Settings, now: float) -> None:
        self.underlay = Underlay(settings, now)
        self.malformed: Counter[Reason] = Counter()
        self._flows = Reconciliation(self.underlay)
        self._next_probe_s = now + PROBE_INTERVAL_S

    # --- switches and ports

    def switch_up(
        self, dpid: int, ports: Mapping[int, PortState], flows: Iterable[Flow], now: float
    ) -> list[Effect]:
        """A switch has connected and reported its ports and flows."""
        found = list(flows)
        is_new = dpid not in self.underlay.port_states
        lost = self._update_ports(dpid, ports)
        self.underlay.connected.add(dpid)
        self._flows.set_installed(dpid, found)
        for number in lost:
            self.underlay.forget_port(dpid, number)
        self.underlay.links.refresh(dpid, now)
        if is_new:
            restore_state(self.underlay, dpid, found, now)
        effects: list[Effect] = [Notice(f"switch {dpid} connected, {len(found)} flows found on it")]
        effects += self._flows.sync_switch(dpid)
        effects += self._flows.sync_multicast()
        effects += self._probe({dpid: self.underlay.ports(dpid)})
        self._query_new_ports([(dpid, number) for number in self.underlay.ports(dpid)], now)
        return effects + self.expire(now)

    def switch_down(self, dpid: int) -> list[Effect]:
        """A switch has disconnected. It continues to forward, so its state is kept."""
        self.underlay.connected.discard(dpid)
        return [Notice(f"switch {dpid} disconnected")]

    def port_changed(
        self, dpid: int, number: int, state: PortState | None, now: float
    ) -> list[Effect]:
        """A port was added, removed (`state` None), or has changed its state."""
        if dpid not in self.underlay.connected or number > LAST_PHYSICAL_PORT:
            return []
        before = self.underlay.port_states[dpid].pop(number, None)
        if state is not None:
            self.underlay.port_states[dpid][number] = state
        was_up, is_up = before is not None and before.up, state is not None and state.up
        if was_up and not is_up:
            return self._drop_port(dpid, number)
        if is_up and not was_up:
            self._query_new_ports([(dpid, number)], now)
            return self._probe({dpid: [number]}) + self.expire(now)
        return []

    def flow_removed(self, dpid: int, flow: Flow) -> list[Effect]:
        """A source flow has idled out: remove the address and its destination flow."""
        host = tables.host_of(flow)
        if host is None or flow.kind is not Kind.HOST_SOURCE or dpid not in self.underlay.connected:
            return []
        self._flows.flow_lost(dpid, flow)
        if not self.underlay.switching.forget(dpid, *host):
            return []  # the address has moved; its destination flow belongs to the new port
        return self._flows.remove(dpid, tables.host_flows(*host))

    def _update_ports(self, dpid: int, ports: Mapping[int, PortState]) -> list[int]:
        """Store a switch's ports; returns those that were up before and have changed since."""
        before = self.underlay.port_states.get(dpid, {})
        now_there = {n: state for n, state in ports.items() if n <= LAST_PHYSICAL_PORT}
        self.underlay.port_states[dpid] = now_there
        return [n for n, state in before.items() if state.up and now_there.get(n) != state]

    def _drop_port(self, dpid: int, number: int) -> list[Effect]:
        effects = [
            effect
            for mac in self.underlay.forget_port(dpid, number)
            for effect in self._flows.remove(dpid, tables.host_flows(mac, number))
        ]
        return effects + self._flows.sync_multicast()

    # --- frames

    def packet_in(self, dpid: int, number: int, frame: bytes, now: float) -> list[Effect]:
        """A switch has sent a frame that arrived at one of its ports."""
        port = (dpid, number)
        is_known = dpid in self.underlay.connected and self.underlay.has_port(port)
        if not is_known or len(frame) < ETHERNET_LENGTH:
            return []
        if frame[12:14] == _LLDP:
            return self._on_probe(port, frame, now)
        for protocol, snooping in self.underlay.snooping.items():
            if protocol.is_message(frame):
                return self._on_message(snooping, port, frame, now)
        return self._learn(dpid, number, frame[6:12], now)

    def _learn(self, dpid: int, number: int, mac: bytes, now: float) -> list[Effect]:
        switching = self.underlay.switching
        before = switching.port(dpid, mac)
        if not learnable(mac) or not switching.learn(dpid, mac, number, now):
            return []
        flows = tables.host_flows(mac, number)
        if before == number:  # a known address reaches the controller only without its source flow
            self._flows.flow_lost(dpid, flows[0])
        effects = self._flows.install(dpid, flows)
        if before not in (None, number):
            # The destination flow was replaced; the old source flow has another key.
            effects += self._flows.remove(dpid, tables.host_flows(mac, before)[:1])
            effects.append(Notice(f"{mac_text(mac)} moved on switch {dpid} to port {number}"))
        return effects

    def _learn_everywhere(self, port: PortRef, mac: bytes, now: float) -> list[Effect]:
        """Install the address of a reporting host on every switch.

        The first unicast frame to it is then not flooded, even if it has sent nothing but reports.
        The reports that answer each query keep it known.
        """
        effects: list[Effect] = []
        for dpid in sorted(self.underlay.connected):
            towards = self.underlay.links.next_hops(dpid).get(port[0])
            number = port[1] if dpid == port[0] else towards
            if number is not None:
                effects += self._learn(dpid, number, mac, now)
        return effects

    def _on_probe(self, receiver: PortRef, frame: bytes, now: float) -> list[Effect]:
        sender = parse_probe(frame)
        if sender is None or not self.underlay.has_port(sender):
            return []
        if sender[0] == receiver[0]:
            text = f"ERROR: switch {sender[0]} ports {sender[1]} and {receiver[1]} form a loop"
            return [Notice(text)]
        changed = self.underlay.links.on_probe(sender, receiver, now)
        if not changed:
            return []
        for port in changed:
            self.underlay.forget_members(port)
        names = [f"switch {dpid} port {number}" for dpid, number in (sender, receiver)]
        effects: list[Effect] = [Notice(f"link found: {names[0]} to {names[1]}")]
        if self.underlay.links.has_loop():
            effects.append(
                Notice(
                    "ERROR: the switches form a loop, so flooded frames circulate; remove a link"
                )
            )
        return effects + self._flows.sync_multicast()

    def _on_message(
        self, snooping: Snooping, port: PortRef, frame: bytes, now: float
    ) -> list[Effect]:
        if frame[6:12] == QUERIER_MAC or self.underlay.links.peer(port) is not None:
            return []  # the controller's own query that came over a link
        message = snooping.protocol.parse(frame)
        if isinstance(message, Malformed):
            self.malformed[message.reason] += 1
            return []
        changes = _update_memberships(snooping, port, message, now)
        if isinstance(message, MembershipReport | Leave):
            targets = snooping.routers()
        else:
            targets = self.underlay.edge_ports()
        return (
            self._learn_everywhere(port, frame[6:12], now)
            + self._apply(snooping, changes, now)
            + self._send(targets - {port}, frame)
            + self.expire(now)
        )

    # --- time

    def next_deadline(self) -> float:
        """The time at which `expire` must be called next."""
        snoopings = self.underlay.snooping.values()
        return min(self._next_probe_s, *(snooping.next_deadline() for snooping in snoopings))

    def expire(self, now: float) -> list[Effect]:
        """Do everything that is due: ageing, queries, probes."""
        effects: list[Effect] = []
        for snooping in self.underlay.snooping.values():
            effects += self._apply(snooping, snooping.expire(now), now)
        if self._next_probe_s <= now:
            self._next_probe_s = now + PROBE_INTERVAL_S
            connected = self.underlay.connected
            effects += self._probe({dpid: self.underlay.ports(dpid) for dpid in sorted(connected)})
            changed = self.underlay.links.expire(connected, now)
            if changed:
                text = f"links removed, no probes for too long: (switch, port) {sorted(changed)}"
                effects.append(Notice(text))
                effects += self._flows.sync_multicast()
        return effects

    def _query_new_ports(self, ports: list[PortRef], now: float) -> None:
        for snooping in self.underlay.snooping.values():
            snooping.query_new_ports(ports, now)

    # --- effects

    def _apply(self, snooping: Snooping, changes: Changes, now: float) -> list[Effect]:
        """The flows and queries that follow from a change of memberships or router ports."""
        effects: list[Effect] = []
        if changes.routers:  # every group flow outputs to router ports
            effects += self._flows.sync_multicast()
        else:
            for group in sorted(changes.groups):
                effects += self._flows.sync_group(group)
        for request in changes.queries:
            effects += self._query(snooping, request, now)
        return effects

    def _query(self, snooping: Snooping, request: QueryRequest, now: float) -> list[Effect]:
        interval_s, source = snooping.settings.query_interval_s, snooping.query_source(now)
        build = snooping.protocol.build_query
        frame = build(request.group, request.max_response_s, interval_s, source)
        edges = self.underlay.edge_ports()
        return self._send(edges if request.ports is None else edges & request.ports, frame)

    def _send(self, ports: frozenset[PortRef], frame: bytes) -> list[Effect]:
        """Send a frame out of ports of connected switches: one effect for each switch."""
        numbers: dict[int, list[int]] = {}
        for dpid, number in sorted(ports):
            if dpid in self.underlay.connected:
                numbers.setdefault(dpid, []).append(number)
        return [SendFrame(dpid, tuple(outputs), frame) for dpid, outputs in numbers.items()]

    def _probe(self, ports: Mapping[int, list[int]]) -> list[Effect]:
        return [
            SendFrame(dpid, (number,), build_probe(dpid, number))
            for dpid, numbers in ports.items()
            for number in numbers
        ]


def _update_memberships(snooping: Snooping, port: PortRef, message: Message, now: float) -> Changes:
    if isinstance(message, Query):
        return snooping.on_query(port, message, now)
    if isinstance(message, MembershipReport):
        return snooping.on_report(port, message, now)
    if isinstance(message, Leave):
        return snooping.on_leave(port, message, now)
    return Changes()  # an unknown message type says nothing about memberships
