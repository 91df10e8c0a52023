"""Links between switches, discovered by probes. Pure state; time is an argument.

The controller sends an LLDP frame (IEEE 802.1AB) out of each port of each switch. A probe that
arrives at another switch shows the link between the two ports, in both directions.

A link is removed when one of its ports goes down or disappears, when a probe shows one of its ports
linked to another port, or when no probe has arrived for LIFETIME_S while both switches are
connected. A switch that has lost its controller continues to forward, so its links stay. The
switches must form a tree; `has_loop` reports when they do not. Hosts are trusted: a host that
forges probes is taken for a switch.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Mapping

from .constants import (
    ETHERNET_LENGTH,
    ETHERTYPE_LLDP,
    LLDP_MAC,
    PROBE_SOURCE_MAC,
    SHORTEST_FRAME,
)
from .flows import PortRef

PROBE_INTERVAL_S = 10.0
LIFETIME_S = 3.5 * PROBE_INTERVAL_S  # three probes may be lost

_ETHERTYPE = ETHERTYPE_LLDP.to_bytes(2, "big")
_END, _CHASSIS_ID, _PORT_ID, _TTL = 0, 1, 2, 3  # TLV types (IEEE 802.1AB 8.4.1)
_LOCALLY_ASSIGNED = 7  # subtype of chassis and port ids
_MARK = b"vxlab:"


def build_probe(dpid: int, port: int) -> bytes:
    """The frame that identifies a switch and the port it was sent from."""
    chassis = bytes([_LOCALLY_ASSIGNED]) + _MARK + f"{dpid:016x}".encode()
    tlvs = (
        _tlv(_CHASSIS_ID, chassis)
        + _tlv(_PORT_ID, bytes([_LOCALLY_ASSIGNED]) + str(port).encode())
        + _tlv(_TTL, struct.pack("!H", int(LIFETIME_S)))
        + _tlv(_END, b"")
    )
    return (LLDP_MAC + PROBE_SOURCE_MAC + _ETHERTYPE + tlvs).ljust(SHORTEST_FRAME, b"\0")


def parse_probe(frame: bytes) -> PortRef | None:
    """The port that a probe was sent from; None for any other frame. Never raises."""
    if frame[12:ETHERNET_LENGTH] != _ETHERTYPE:
        return None
    tlvs = _read_tlvs(frame[ETHERNET_LENGTH:])
    chassis, port = tlvs.get(_CHASSIS_ID, b""), tlvs.get(_PORT_ID, b"")
    prefix = bytes([_LOCALLY_ASSIGNED]) + _MARK
    if not chassis.startswith(prefix) or port[:1] != prefix[:1]:
        return None
    try:
        return int(chassis[len(prefix) :], 16), int(port[1:])
    except ValueError:
        return None


def _tlv(kind: int, value: bytes) -> bytes:
    """Type (7 bits), length (9 bits), value (IEEE 802.1AB 8.4)."""
    return struct.pack("!H", kind << 9 | len(value)) + value


def _read_tlvs(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 2:
        head = struct.unpack_from("!H", data)[0]
        kind, length = head >> 9, head & 0x1FF
        if kind == _END or len(data) < 2 + length:
            break
        found.setdefault(kind, data[2 : 2 + length])
        data = data[2 + length :]
    return found


class Links:
    """The links between switches and the paths over them."""

    def __init__(self) -> None:
        self._peer: dict[PortRef, PortRef] = {}
        self._seen_s: dict[PortRef, float] = {}
        self._next_hop: dict[int, dict[int, int]] = {}

    def peer(self, port: PortRef) -> PortRef | None:
        """The port at the other end of the link; None for an edge port."""
        return self._peer.get(port)

    def on_probe(self, sender: PortRef, receiver: PortRef, now: float) -> set[PortRef]:
        """A probe has passed from one port to the other; returns the ports whose peer changed."""
        changed: set[PortRef] = set()
        if self._peer.get(receiver) != sender or self._peer.get(sender) != receiver:
            changed |= self.remove(sender) | self.remove(receiver)
            self._peer[sender], self._peer[receiver] = receiver, sender
            changed |= {sender, receiver}
            self._next_hop.clear()
        self._seen_s[sender] = self._seen_s[receiver] = now
        return changed

    def remove(self, port: PortRef) -> set[PortRef]:
        """The port is down or gone; returns the ports that are no longer part of a link."""
        peer = self._peer.pop(port, None)
        if peer is None:
            return set()
        self._peer.pop(peer, None)
        self._seen_s.pop(port, None)
        self._seen_s.pop(peer, None)
        self._next_hop.clear()
        return {port, peer}

    def expire(self, connected: Iterable[int], now: float) -> set[PortRef]:
        """Remove links without recent probes; returns the ports whose peer changed."""
        alive = set(connected)
        changed: set[PortRef] = set()
        for port, seen_s in list(self._seen_s.items()):
            peer = self._peer.get(port)
            silent = now - seen_s >= LIFETIME_S
            if silent and peer is not None and port[0] in alive and peer[0] in alive:
                changed |= self.remove(port)
        return changed

    def refresh(self, dpid: int, now: float) -> None:
        """A switch is connected again: restart the lifetime of its links.

        No probe could pass while it was disconnected.
        """
        for port, peer in self._peer.items():
            if dpid in (port[0], peer[0]):
                self._seen_s[port] = now

    def next_hops(self, dpid: int) -> Mapping[int, int]:
        """For each other switch that can be reached, the port towards it."""
        if dpid not in self._next_hop:
            self._next_hop[dpid] = self._search(dpid)
        return self._next_hop[dpid]

    def has_loop(self) -> bool:
        """True if the links do not form a tree or a forest, so that flooded frames circulate.

        A forest has exactly one link less than switches in each of its trees.
        """
        switches = {port[0] for port in self._peer}
        trees: set[frozenset[int]] = {frozenset({dpid, *self.next_hops(dpid)}) for dpid in switches}
        return len(self._peer) // 2 > len(switches) - len(trees)

    def _search(self, start: int) -> dict[int, int]:
        """Breadth-first search: the first port of the shortest path to every other switch."""
        neighbours: dict[int, list[tuple[int, int]]] = {}
        for (dpid, number), (peer, _) in sorted(self._peer.items()):
            neighbours.setdefault(dpid, []).append((number, peer))
        next_hops: dict[int, int] = {}
        queue = deque([(start, 0)])
        while queue:
            dpid, first = queue.popleft()
            for number, peer in neighbours.get(dpid, []):
                if peer != start and peer not in next_hops:
                    next_hops[peer] = first or number
                    queue.append((peer, first or number))
        return next_hops
