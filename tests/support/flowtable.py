"""Fake switches: flow tables to which decisions are applied, joined by wires, asked about outcomes.

`Fabric` plays the switches, the wires and the controller's connections around one `Pipeline`: a
frame that a host sends is matched table by table, shown to the pipeline where a flow says so, and
carried over wires, and the answer is the set of edge ports it comes out of.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import deque

from controller.flows import (
    CONTROLLER,
    FLOOD,
    DeleteFlow,
    Effect,
    Flow,
    FlowKey,
    Match,
    Notice,
    SendFrame,
    SetFlow,
)
from controller.pipeline import Pipeline, Port
from controller.snooping import Settings

End = tuple[int, int]
BROADCAST = b"\xff" * 6


def mac(number: int) -> bytes:
    """A host's MAC address."""
    return bytes((2, 0, 0, 0, 0, number))


def ethernet(destination: bytes, source: bytes, ethertype: int = 0x0806) -> bytes:
    """A frame without any IP in it."""
    return (destination + source + struct.pack("!H", ethertype)).ljust(60, b"\0")


def datagram(group: str, source: bytes) -> bytes:
    """A UDP datagram to a multicast group of either family."""
    if ":" in group:
        packed = ipaddress.IPv6Address(group).packed
        head = b"\x33\x33" + packed[12:] + source + b"\x86\xdd"
        return head + bytes.fromhex("6000000000081110") + bytes(16) + packed + bytes(8)
    octets = bytes(int(part) for part in group.split("."))
    head = b"\x01\x00\x5e" + bytes((octets[1] & 0x7F,)) + octets[2:] + source + b"\x08\x00"
    return head + bytes.fromhex("450000200000000010110000c0000201") + octets + bytes(12)


def matches(match: Match, in_port: int, frame: bytes) -> bool:
    """Whether a frame that came in at a port is one that a flow speaks of."""
    ethertype = struct.unpack_from("!H", frame, 12)[0]
    packet = frame[14:]
    destination = _destination(ethertype, packet)
    protocol, body = _transport(ethertype, packet)
    return (
        match.in_port in (None, in_port)
        and match.eth_type in (None, ethertype)
        and _masked(match.eth_dst, frame[0:6])
        and _masked(match.eth_src, frame[6:12])
        and match.ip_proto in (None, protocol)
        and (match.icmpv6_type is None or body[:1] == bytes([match.icmpv6_type]))
        and _in_prefix(match.ipv4_dst or match.ipv6_dst, destination)
    )


def _destination(ethertype: int, packet: bytes) -> bytes:
    """The IP destination; nothing where there is no IP."""
    return {0x0800: packet[16:20], 0x86DD: packet[24:40]}.get(ethertype, b"")


def _transport(ethertype: int, packet: bytes) -> tuple[int | None, bytes]:
    """The transport protocol and what it carries, past a Hop-by-Hop header as a switch does it."""
    if ethertype == 0x0800:
        return packet[9], packet[20:]
    if ethertype != 0x86DD:
        return None, b""
    if packet[6] == 0:
        return packet[40], packet[48 + 8 * packet[41] :]
    return packet[6], packet[40:]


def _masked(wanted: tuple[bytes, bytes] | None, found: bytes) -> bool:
    if wanted is None:
        return True
    address, mask = wanted
    return all(a & m == b & m for a, b, m in zip(address, found, mask, strict=True))


def _in_prefix(wanted: tuple[str, str] | None, found: bytes) -> bool:
    if wanted is None:
        return True
    address, mask = (ipaddress.ip_address(text).packed for text in wanted)
    return len(address) == len(found) and _masked((address, mask), found)


class Switch:
    """The flow tables of one switch."""

    def __init__(self, ports: dict[int, Port]) -> None:
        self.ports = ports
        self.flows: dict[FlowKey, Flow] = {}

    def outputs(self, in_port: int, frame: bytes) -> set[int]:
        """The ports a frame leaves by, `CONTROLLER` among them; never the ingress port."""
        found: set[int] = set()
        table: int | None = 0
        while table is not None:
            flow = self._lookup(table, in_port, frame)
            if flow is None:
                break
            found |= set(flow.outputs)
            table = flow.goto
        if FLOOD in found:
            found = (found - {FLOOD}) | set(self.ports)
        return found - {in_port}

    def _lookup(self, table: int, in_port: int, frame: bytes) -> Flow | None:
        hits = [
            flow
            for flow in self.flows.values()
            if flow.table == table and matches(flow.match, in_port, frame)
        ]
        return max(hits, key=lambda flow: flow.priority, default=None)


class Fabric:
    """Switches, wires and a pipeline; `now` moves only by `advance`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.now = 0.0
        self.settings = settings or Settings()
        self.pipeline = Pipeline(self.settings, self.now)
        self.switches: dict[int, Switch] = {}
        self.wires: dict[End, End] = {}
        self.sent: list[tuple[End, bytes]] = []  # by the controller, out of edge ports
        self.effects: list[Effect] = []  # since the last `forget`

    def wire(self, first: End, second: End) -> None:
        """Join two ports."""
        self.wires[first], self.wires[second] = second, first

    def add(self, dpid: int, ports: int) -> None:
        """A switch with this many ports, connected at once."""
        numbers = range(1, ports + 1)
        self.switches[dpid] = Switch({n: Port(f"s{dpid}-eth{n}") for n in numbers})
        self.connect(dpid)

    def connect(self, dpid: int) -> None:
        """The switch (again) connects and tells what it has."""
        switch = self.switches[dpid]
        flows = list(switch.flows.values())
        self.apply(self.pipeline.switch_up(dpid, switch.ports, flows, self.now))

    def new_controller(self) -> None:
        """The controller died and returned; the switches have kept their flows."""
        self.pipeline = Pipeline(self.settings, self.now)

    def forget(self) -> None:
        """Begin a new record of effects and sent frames."""
        self.effects.clear()
        self.sent.clear()

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each deadline on the way."""
        until = self.now + seconds
        while (deadline := self.pipeline.next_deadline()) <= until:
            self.now = max(self.now, deadline)
            self.apply(self.pipeline.expire(self.now))
        self.now = until

    def send(self, end: End, frame: bytes) -> set[End]:
        """A host sends; answers the edge ports the frame comes out of."""
        return self._carry(end, frame)

    def apply(self, effects: list[Effect]) -> None:
        """Carry out what the pipeline decided."""
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, SetFlow):
                self.switches[effect.dpid].flows[effect.flow.key] = effect.flow
            elif isinstance(effect, DeleteFlow):
                self.switches[effect.dpid].flows.pop(effect.flow.key)
            elif isinstance(effect, SendFrame):
                for number in effect.ports:
                    self._leave((effect.dpid, number), effect.frame)
            else:
                assert isinstance(effect, Notice)

    def _leave(self, end: End, frame: bytes) -> None:
        if end in self.wires:
            self._carry(self.wires[end], frame)
        else:
            self.sent.append((end, frame))

    def _carry(self, start: End, frame: bytes) -> set[End]:
        reached: set[End] = set()
        shown: list[End] = []
        queue = deque([start])
        while queue:
            end = queue.popleft()
            switch = self.switches.get(end[0])
            for number in sorted(switch.outputs(end[1], frame)) if switch else ():
                out = (end[0], number)
                if number == CONTROLLER:
                    shown.append(end)
                elif out in self.wires:
                    queue.append(self.wires[out])
                else:
                    reached.add(out)
        for end in shown:
            self.apply(self.pipeline.packet_in(*end, frame, self.now))
        return reached
