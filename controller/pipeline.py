"""What the switches should do: messages and `now` in, effects out. No I/O, no clock, no framework.

Every switch has a set of flows it should have, computed from four states (ports, links, addresses,
memberships) by `tables`, and a set it is known to have; the effects are the difference. A switch
that connects tells its flows first: from them addresses, memberships and router ports are rebuilt
if this process has not seen the switch before, so that a controller that returns changes nothing
that is right and interrupts no traffic. Flows that are not ours are removed then.

Memberships belong to edge ports only. With the tree of links a group's flow on each switch
outputs to its own members, to router ports, and to each link that leads to a switch with either.
A port restored as a member that turns out to be a link loses that membership, and the members
behind it, restored at their own switches, keep the link in the flow.

IGMP and MLD never pass a flow: reports and leaves go to router ports only (RFC 4541 2.1.1 point 1),
queries and unrecognised messages to all edge ports but the one they came from. Each protocol has
its own memberships, routers and querier; a group's address tells which protocol it is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import tables
from .flows import (
    LAST_PHYSICAL_PORT,
    DeleteFlow,
    Effect,
    Flow,
    FlowKey,
    Kind,
    Notice,
    SendFrame,
    SetFlow,
    mac_text,
)
from .links import PROBE_INTERVAL_S, Links, build_probe, parse_probe
from .membership import QUERIER_MAC, Leave, Malformed, Query, Reason, Report
from .protocols import PROTOCOLS, Protocol, protocol_of
from .snooping import Ask, Changes, End, Settings, Snooping
from .switching import Switching, learnable


@dataclass(frozen=True)
class Port:
    """A switch's port as the switch describes it."""

    name: str
    up: bool = True


class Pipeline:
    """The decisions for all switches of the underlay."""

    def __init__(self, settings: Settings, now: float) -> None:
        self._snooping = {each: Snooping(settings, now, each) for each in PROTOCOLS}
        self.links = Links()
        self.switching = Switching()
        self.malformed: Counter[Reason] = Counter()
        self.connected: set[int] = set()
        self._ports: dict[int, dict[int, Port]] = {}
        self._installed: dict[int, dict[FlowKey, Flow]] = {}
        self._next_probe_s = now + PROBE_INTERVAL_S

    # --- switches and ports

    def switch_up(
        self, dpid: int, ports: Mapping[int, Port], flows: Iterable[Flow], now: float
    ) -> list[Effect]:
        """A switch is connected and has told its ports and flows."""
        found = list(flows)
        is_new = dpid not in self._ports
        before = self._ports.get(dpid, {})
        self._ports[dpid] = {n: port for n, port in ports.items() if n <= LAST_PHYSICAL_PORT}
        lost = [n for n, port in before.items() if port.up and self._ports[dpid].get(n) != port]
        self.connected.add(dpid)
        self._installed[dpid] = {flow.key: flow for flow in found}
        for number in lost:
            self._forget_port(dpid, number)
        self.links.revive(dpid, now)
        if is_new:
            self._restore(dpid, found, now)
        effects: list[Effect] = [Notice(f"switch {dpid} is up, {len(found)} flows found on it")]
        effects += self._reconcile(dpid)
        effects += self._sync_everything()
        effects += self._probe({dpid: self.ports(dpid)})
        self._start_asking([(dpid, number) for number in self.ports(dpid)], now)
        return effects + self.expire(now)

    def switch_down(self, dpid: int) -> list[Effect]:
        """A switch is no longer connected; it goes on forwarding, so nothing is forgotten."""
        self.connected.discard(dpid)
        return [Notice(f"switch {dpid} is no longer connected")]

    def port_changed(self, dpid: int, number: int, port: Port | None, now: float) -> list[Effect]:
        """A port came, went (`port` None), or changed its state."""
        if dpid not in self.connected or number > LAST_PHYSICAL_PORT:
            return []
        before = self._ports[dpid].pop(number, None)
        if port is not None:
            self._ports[dpid][number] = port
        was_up, is_up = before is not None and before.up, port is not None and port.up
        if was_up and not is_up:
            return self._drop_port(dpid, number)
        if is_up and not was_up:
            self._start_asking([(dpid, number)], now)
            return self._probe({dpid: [number]}) + self.expire(now)
        return []

    def flow_removed(self, dpid: int, flow: Flow) -> list[Effect]:
        """A flow idled out: an address that is silent leaves with both of its flows."""
        host = tables.host_of(flow)
        if host is None or flow.kind is not Kind.HOST_SOURCE or dpid not in self.connected:
            return []
        self._installed[dpid].pop(flow.key, None)
        if not self.switching.forget(dpid, *host):
            return []
        return self._delete(dpid, tables.host_flows(*host))

    # --- frames

    def packet_in(self, dpid: int, number: int, frame: bytes, now: float) -> list[Effect]:
        """A switch shows a frame that came in at one of its ports."""
        if dpid not in self.connected or number not in self._ports[dpid] or len(frame) < 14:
            return []
        if frame[12:14] == b"\x88\xcc":
            return self._hear_probe((dpid, number), frame, now)
        for protocol, snooping in self._snooping.items():
            if protocol.is_message(frame):
                return self._hear_message(snooping, (dpid, number), frame, now)
        return self._learn(dpid, number, frame[6:12], now)

    def _learn(self, dpid: int, number: int, mac: bytes, now: float) -> list[Effect]:
        before = self.switching.port(dpid, mac)
        if not learnable(mac) or not self.switching.learn(dpid, mac, number, now):
            return []
        flows = tables.host_flows(mac, number)
        if before == number:  # the switch lost the source flow
            self._installed[dpid].pop(flows[0].key, None)
        effects = self._set(dpid, flows)
        if before not in (None, number):
            effects += self._delete(dpid, tables.host_flows(mac, before)[:1])
            effects.append(Notice(f"{mac_text(mac)} moved on switch {dpid} to port {number}"))
        return effects

    def _learn_everywhere(self, end: End, mac: bytes, now: float) -> list[Effect]:
        """Show every switch the way to a host that reports: a member is known before it sends.

        Its first unicast is then never flooded, and the reports that answer each query keep it
        known, however quiet it is.
        """
        effects: list[Effect] = []
        for dpid in sorted(self.connected):
            number = end[1] if dpid == end[0] else self.links.ways(dpid).get(end[0])
            if number is not None:
                effects += self._learn(dpid, number, mac, now)
        return effects

    def _hear_probe(self, receiver: End, frame: bytes, now: float) -> list[Effect]:
        sender = parse_probe(frame)
        if sender is None or sender[1] not in self._ports.get(sender[0], {}):
            return []
        if sender[0] == receiver[0]:
            text = f"ERROR: switch {sender[0]} ports {sender[1]} and {receiver[1]} form a loop"
            return [Notice(text)]
        changed = self.links.heard(sender, receiver, now)
        if not changed:
            return []
        for end in changed:
            self._forget_members(end)
        text = f"link: switch, port {sender} to {receiver}"
        effects: list[Effect] = [Notice(text)]
        if self.links.has_loop():
            effects.append(Notice("ERROR: the switches form a loop, frames will circle for ever"))
        return effects + self._sync_everything()

    def _hear_message(self, snooping: Snooping, end: End, frame: bytes, now: float) -> list[Effect]:
        if frame[6:12] == QUERIER_MAC or self.links.peer(end) is not None:
            return []  # our own query, come over a link
        message = snooping.protocol.parse(frame)
        if isinstance(message, Malformed):
            self.malformed[message.reason] += 1
            return []
        if isinstance(message, Query):
            changes = snooping.hear_query(end, message, now)
            targets = self._edges()
        elif isinstance(message, Report):
            changes = snooping.hear_report(end, message, now)
            targets = snooping.routers()
        elif isinstance(message, Leave):
            changes = snooping.hear_leave(end, message, now)
            targets = snooping.routers()
        else:
            changes, targets = Changes(), self._edges()
        effects = self._learn_everywhere(end, frame[6:12], now)
        return (
            effects
            + self._apply(snooping, changes, now)
            + self._send(targets - {end}, frame)
            + self.expire(now)
        )

    # --- time

    def next_deadline(self) -> float:
        """When `expire` is to be called."""
        return min(self._next_probe_s, *(s.next_deadline() for s in self._snooping.values()))

    def expire(self, now: float) -> list[Effect]:
        """Do all that is due: ageing, queries, probes."""
        effects: list[Effect] = []
        for snooping in self._snooping.values():
            effects += self._apply(snooping, snooping.expire(now), now)
        if self._next_probe_s <= now:
            self._next_probe_s = now + PROBE_INTERVAL_S
            effects += self._probe({dpid: self.ports(dpid) for dpid in sorted(self.connected)})
            changed = self.links.expire(self.connected, now)
            if changed:
                effects.append(Notice(f"no probes any more at {sorted(changed)}: no links"))
                effects += self._sync_everything()
        return effects

    # --- views

    def ports(self, dpid: int) -> list[int]:
        """The ports of a switch that are up."""
        return sorted(n for n, port in self._ports.get(dpid, {}).items() if port.up)

    def port_name(self, end: End) -> str:
        """The name the switch gives to a port; empty when it has none."""
        port = self._ports.get(end[0], {}).get(end[1])
        return port.name if port else ""

    def group_ports(self, dpid: int, group: str) -> frozenset[int]:
        """The ports of a switch that a group's packets leave by."""
        snooping = self._snooping_of(group)
        return self._leading_to(dpid, snooping.members(group) | snooping.routers())

    def groups(self) -> list[str]:
        """All groups that have a member, of both protocols."""
        return [group for snooping in self._snooping.values() for group in snooping.groups()]

    def reporters(self, group: str, end: End) -> list[str]:
        """The addresses that reported a group at a port."""
        return self._snooping_of(group).reporters(group, end)

    def is_router_port(self, end: End) -> bool:
        """Whether a multicast router is behind a port, of either protocol."""
        return any(end in snooping.routers() for snooping in self._snooping.values())

    # --- inside

    def _restore(self, dpid: int, flows: list[Flow], now: float) -> None:
        """Rebuild what an earlier controller knew from the flows that it left on the switch."""
        usable = set(self.ports(dpid))
        routers = {each: self._restore_routers(dpid, each, flows, now) for each in self._snooping}
        for flow in sorted(flows, key=lambda flow: flow.table, reverse=True):
            host, group = tables.host_of(flow), tables.group_of(flow)
            if host is not None and host[1] in usable and learnable(host[0]):
                mac, number = host
                self.switching.learn(dpid, mac, self.switching.port(dpid, mac) or number, now)
            if group is not None:
                for number in usable.intersection(flow.outputs) - routers[protocol_of(group)]:
                    self._snooping_of(group).restore(group, (dpid, number), now)

    def _restore_routers(
        self, dpid: int, protocol: Protocol, flows: list[Flow], now: float
    ) -> set[int]:
        known = [flow for flow in flows if tables.leads_to_routers(flow, protocol)]
        ports = {number for flow in known for number in flow.outputs}
        ports &= set(self.ports(dpid))
        for number in ports:
            self._snooping[protocol].restore_router((dpid, number), now)
        return ports

    def _reconcile(self, dpid: int) -> list[Effect]:
        """Bring a switch from the flows it has to those it should have; additions first."""
        desired = tables.base_flows() + self._routers_flows(dpid)
        for mac, number in self.switching.hosts(dpid):
            desired += tables.host_flows(mac, number)
        for group in self.groups():
            desired.append(tables.group_flow(group, self.group_ports(dpid, group)))
        keys = {flow.key for flow in desired}
        stale = [flow for key, flow in self._installed[dpid].items() if key not in keys]
        return self._set(dpid, desired) + self._delete(dpid, stale)

    def _apply(self, snooping: Snooping, changes: Changes, now: float) -> list[Effect]:
        if changes.routers:
            effects = self._sync_everything()
        else:
            effects = [effect for group in sorted(changes.groups) for effect in self._sync(group)]
        for ask in changes.asks:
            effects += self._ask(snooping, ask, now)
        return effects

    def _sync_everything(self) -> list[Effect]:
        effects: list[Effect] = []
        for dpid in sorted(self.connected):
            effects += self._set(dpid, self._routers_flows(dpid))
        flows = [flow for table in self._installed.values() for flow in table.values()]
        groups = {group for flow in flows if (group := tables.group_of(flow)) is not None}
        for group in sorted(groups | set(self.groups())):
            effects += self._sync(group)
        return effects

    def _sync(self, group: str) -> list[Effect]:
        effects: list[Effect] = []
        has_members = bool(self._snooping_of(group).members(group))
        for dpid in sorted(self.connected):
            flow = tables.group_flow(group, self.group_ports(dpid, group))
            effects += self._set(dpid, [flow]) if has_members else self._delete(dpid, [flow])
        return effects

    def _drop_port(self, dpid: int, number: int) -> list[Effect]:
        effects = [
            effect
            for mac in self._forget_port(dpid, number)
            for effect in self._delete(dpid, tables.host_flows(mac, number))
        ]
        return effects + self._sync_everything()

    def _forget_port(self, dpid: int, number: int) -> list[bytes]:
        self.links.remove((dpid, number))
        self._forget_members((dpid, number))
        return self.switching.forget_port(dpid, number)

    def _forget_members(self, end: End) -> None:
        for snooping in self._snooping.values():
            snooping.forget_port(end)

    def _start_asking(self, ends: list[End], now: float) -> None:
        for snooping in self._snooping.values():
            snooping.start_asking(ends, now)

    def _snooping_of(self, group: str) -> Snooping:
        return self._snooping[protocol_of(group)]

    def _routers_flows(self, dpid: int) -> list[Flow]:
        return [
            tables.routers_flow(protocol, self._leading_to(dpid, snooping.routers()))
            for protocol, snooping in self._snooping.items()
        ]

    def _leading_to(self, dpid: int, ends: frozenset[End]) -> frozenset[int]:
        ways = self.links.ways(dpid)
        own = {number for switch, number in ends if switch == dpid}
        return frozenset(own | {ways[switch] for switch, _ in ends if switch in ways})

    def _edges(self) -> frozenset[End]:
        ends = ((dpid, number) for dpid in self.connected for number in self.ports(dpid))
        return frozenset(end for end in ends if self.links.peer(end) is None)

    def _ask(self, snooping: Snooping, ask: Ask, now: float) -> list[Effect]:
        interval_s, source = snooping.settings.query_interval_s, snooping.query_source(now)
        build = snooping.protocol.build_query
        frame = build(ask.group, ask.max_response_s, interval_s, source)
        edges = self._edges()
        return self._send(edges if ask.ends is None else edges & ask.ends, frame)

    def _send(self, ends: frozenset[End], frame: bytes) -> list[Effect]:
        ports: dict[int, list[int]] = {}
        for dpid, number in sorted(ends):
            if dpid in self.connected:
                ports.setdefault(dpid, []).append(number)
        return [SendFrame(dpid, tuple(numbers), frame) for dpid, numbers in ports.items()]

    def _probe(self, ports: Mapping[int, list[int]]) -> list[Effect]:
        return [
            SendFrame(dpid, (number,), build_probe(dpid, number))
            for dpid, numbers in ports.items()
            for number in numbers
        ]

    def _set(self, dpid: int, flows: Iterable[Flow]) -> list[Effect]:
        effects: list[Effect] = []
        installed = self._installed[dpid]
        for flow in flows:
            if installed.get(flow.key) != flow:
                installed[flow.key] = flow
                effects.append(SetFlow(dpid, flow))
        return effects

    def _delete(self, dpid: int, flows: Iterable[Flow]) -> list[Effect]:
        gone = [self._installed[dpid].pop(flow.key, None) for flow in flows]
        return [DeleteFlow(dpid, flow) for flow in gone if flow is not None]
