"""Simulated switches: flow tables that the controller's effects are applied to, joined by wires.

`Fabric` simulates the switches, the wires and the OpenFlow connections of one `Pipeline`. A frame
that a host sends is matched table by table, passed to the pipeline where a flow outputs to the
controller, and carried over the wires. The result is the set of edge ports that it comes out of.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import deque

from controller.constants import (
    CONTROLLER,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    EXACT_MAC,
    FLOOD,
    SHORTEST_FRAME,
)
from controller.flows import (
    DeleteFlow,
    Effect,
    Flow,
    FlowKey,
    Match,
    Notice,
    PortRef,
    SendFrame,
    SetFlow,
)
from controller.pipeline import Pipeline
from controller.snooping import Settings
from controller.underlay import PortState

BROADCAST = EXACT_MAC  # all ones


def mac(number: int) -> bytes:
    """A host's MAC address."""
    return bytes((2, 0, 0, 0, 0, number))


def ethernet(destination: bytes, source: bytes, ethertype: int = 0x0806) -> bytes:
    """A frame without IP; the default EtherType is ARP's."""
    return (destination + source + struct.pack("!H", ethertype)).ljust(SHORTEST_FRAME, b"\0")


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
    """Whether a frame that arrived at a port matches a flow."""
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
    """The IP destination; empty for other frames."""
    return {ETHERTYPE_IPV4: packet[16:20], ETHERTYPE_IPV6: packet[24:40]}.get(ethertype, b"")


def _transport(ethertype: int, packet: bytes) -> tuple[int | None, bytes]:
    """The transport protocol and its payload, after a Hop-by-Hop header as in Open vSwitch."""
    if ethertype == ETHERTYPE_IPV4:
        return packet[9], packet[20:]
    if ethertype != ETHERTYPE_IPV6:
        return None, b""
    if packet[6] == 0:
        return packet[40], packet[48 + 8 * packet[41] :]
    return packet[6], packet[40:]


def _masked(expected: tuple[bytes, bytes] | None, found: bytes) -> bool:
    if expected is None:
        return True
    address, mask = expected
    return all(a & m == b & m for a, b, m in zip(address, found, mask, strict=True))


def _in_prefix(expected: tuple[str, str] | None, found: bytes) -> bool:
    if expected is None:
        return True
    address, mask = (ipaddress.ip_address(text).packed for text in expected)
    return len(address) == len(found) and _masked((address, mask), found)


class Switch:
    """The flow tables of one switch."""

    def __init__(self, ports: dict[int, PortState]) -> None:
        self.ports = ports
        self.flows: dict[FlowKey, Flow] = {}

    def outputs(self, in_port: int, frame: bytes) -> set[int]:
        """The ports a frame leaves by, including `CONTROLLER`, without the ingress port."""
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
    """Switches, wires and a pipeline; only `advance` changes `now`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.now = 0.0
        self.settings = settings or Settings()
        self.pipeline = Pipeline(self.settings, self.now)
        self.switches: dict[int, Switch] = {}
        self.wires: dict[PortRef, PortRef] = {}
        self.sent: list[tuple[PortRef, bytes]] = []  # by the controller, out of edge ports
        self.effects: list[Effect] = []  # since the last `forget`

    def wire(self, first: PortRef, second: PortRef) -> None:
        """Join two ports."""
        self.wires[first], self.wires[second] = second, first

    def add(self, dpid: int, ports: int) -> None:
        """Add a switch with this many ports and connect it to the controller."""
        numbers = range(1, ports + 1)
        self.switches[dpid] = Switch({n: PortState(f"s{dpid}-eth{n}") for n in numbers})
        self.connect(dpid)

    def connect(self, dpid: int) -> None:
        """The switch connects, or reconnects, and reports its ports and flows."""
        switch = self.switches[dpid]
        flows = list(switch.flows.values())
        self.apply(self.pipeline.switch_up(dpid, switch.ports, flows, self.now))

    def new_controller(self) -> None:
        """Replace the controller by a new process; the switches keep their flows."""
        self.pipeline = Pipeline(self.settings, self.now)

    def forget(self) -> None:
        """Clear the recorded effects and sent frames."""
        self.effects.clear()
        self.sent.clear()

    def advance(self, seconds: float) -> None:
        """Advance the time, and serve each deadline on the way."""
        until = self.now + seconds
        while (deadline := self.pipeline.next_deadline()) <= until:
            self.now = max(self.now, deadline)
            self.apply(self.pipeline.expire(self.now))
        self.now = until

    def apply(self, effects: list[Effect]) -> None:
        """Execute the effects of the pipeline."""
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, SetFlow):
                self.switches[effect.dpid].flows[effect.flow.key] = effect.flow
            elif isinstance(effect, DeleteFlow):
                self.switches[effect.dpid].flows.pop(effect.flow.key)
            elif isinstance(effect, SendFrame):
                for number in effect.ports:
                    self._output((effect.dpid, number), effect.frame)
            else:
                assert isinstance(effect, Notice)

    def _output(self, port: PortRef, frame: bytes) -> None:
        if port in self.wires:
            self.send(self.wires[port], frame)
        else:
            self.sent.append((port, frame))

    def send(self, start: PortRef, frame: bytes) -> set[PortRef]:
        """A host at a port sends a frame; returns the edge ports it comes out of."""
        reached: set[PortRef] = set()
        packet_ins: list[PortRef] = []
        queue = deque([start])
        while queue:
            port = queue.popleft()
            switch = self.switches.get(port[0])
            for number in sorted(switch.outputs(port[1], frame)) if switch else ():
                out = (port[0], number)
                if number == CONTROLLER:
                    packet_ins.append(port)
                elif out in self.wires:
                    queue.append(self.wires[out])
                else:
                    reached.add(out)
        for port in packet_ins:
            self.apply(self.pipeline.packet_in(*port, frame, self.now))
        return reached


def one_switch() -> Fabric:
    """One switch with four edge ports."""
    fabric = Fabric()
    fabric.add(1, 4)
    return fabric


def tree_of_three() -> Fabric:
    """Switch 1 has links to switches 2 and 3 at its ports 4 and 5; ports 1 to 3 of each are edges.

    Nothing is recorded of its start.
    """
    fabric = Fabric()
    fabric.wire((1, 4), (2, 4))
    fabric.wire((1, 5), (3, 4))
    for dpid, ports in ((1, 5), (2, 4), (3, 4)):
        fabric.add(dpid, ports)
    fabric.forget()
    return fabric
