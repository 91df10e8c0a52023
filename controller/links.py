"""Which ports join two switches: found by frames that the switches send each other.

Each switch sends an LLDP frame (IEEE 802.1AB) out of each port; one that comes in at another switch
makes known the link between the two ports, in both directions. Pure state; time is an argument.

A link lives until a port of it goes down or away, until one of its ports is found joined to
another, or until no probe has passed for LIFETIME_S while both switches are connected: a switch
that the controller has lost goes on forwarding, so its links stay. The switches must form a tree;
`has_loop` tells when they do not. Hosts are trusted: one that forges probes can pass for a switch.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Mapping

from .tables import ETHERTYPE_LLDP, PROBE_MAC

PROBE_INTERVAL_S = 10.0
LIFETIME_S = 3.5 * PROBE_INTERVAL_S

End = tuple[int, int]  # switch (dpid) and port

_PROBE_SOURCE = bytes.fromhex("0276786c6163")
_CHASSIS_ID, _PORT_ID, _TTL = 1, 2, 3
_LOCALLY_ASSIGNED = 7  # subtype of chassis and port ids
_MARK = b"vxlab:"


def build_probe(dpid: int, port: int) -> bytes:
    """The frame that tells the other end which switch and port it left."""
    chassis = bytes([_LOCALLY_ASSIGNED]) + _MARK + f"{dpid:016x}".encode()
    tlvs = (
        _tlv(_CHASSIS_ID, chassis)
        + _tlv(_PORT_ID, bytes([_LOCALLY_ASSIGNED]) + str(port).encode())
        + _tlv(_TTL, struct.pack("!H", int(LIFETIME_S)))
        + _tlv(0, b"")
    )
    frame = PROBE_MAC + _PROBE_SOURCE + struct.pack("!H", ETHERTYPE_LLDP) + tlvs
    return frame.ljust(60, b"\0")


def parse_probe(frame: bytes) -> End | None:
    """The switch and port a probe left from; None for any other frame. Never raises."""
    if len(frame) < 16 or frame[12:14] != struct.pack("!H", ETHERTYPE_LLDP):
        return None
    tlvs = _read_tlvs(frame[14:])
    chassis, port = tlvs.get(_CHASSIS_ID, b""), tlvs.get(_PORT_ID, b"")
    prefix = bytes([_LOCALLY_ASSIGNED]) + _MARK
    if not chassis.startswith(prefix) or port[:1] != prefix[:1]:
        return None
    try:
        return int(chassis[len(prefix) :], 16), int(port[1:])
    except ValueError:
        return None


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!H", kind << 9 | len(value)) + value


def _read_tlvs(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 2:
        head = struct.unpack_from("!H", data)[0]
        kind, length = head >> 9, head & 0x1FF
        if kind == 0 or len(data) < 2 + length:
            break
        found.setdefault(kind, data[2 : 2 + length])
        data = data[2 + length :]
    return found


class Links:
    """The links between switches and the ways over them."""

    def __init__(self) -> None:
        self._peer: dict[End, End] = {}
        self._seen_s: dict[End, float] = {}
        self._next_hop: dict[int, dict[int, int]] = {}

    def peer(self, end: End) -> End | None:
        """The other end of the link at this port; None at an edge port."""
        return self._peer.get(end)

    def heard(self, sender: End, receiver: End, now: float) -> set[End]:
        """A probe went from one end to the other; answers the ends whose kind has changed."""
        changed: set[End] = set()
        if self._peer.get(receiver) != sender or self._peer.get(sender) != receiver:
            changed |= self.remove(sender) | self.remove(receiver)
            self._peer[sender], self._peer[receiver] = receiver, sender
            changed |= {sender, receiver}
            self._forget_ways()
        self._seen_s[sender] = self._seen_s[receiver] = now
        return changed

    def remove(self, end: End) -> set[End]:
        """The port is down or gone; answers the ends that are no longer a link's."""
        peer = self._peer.pop(end, None)
        if peer is None:
            return set()
        self._peer.pop(peer, None)
        self._seen_s.pop(end, None)
        self._seen_s.pop(peer, None)
        self._forget_ways()
        return {end, peer}

    def expire(self, connected: Iterable[int], now: float) -> set[End]:
        """Drop links no probe has passed for too long; answers the ends that changed."""
        alive = set(connected)
        changed: set[End] = set()
        for end, seen_s in list(self._seen_s.items()):
            peer = self._peer.get(end)
            silent = now - seen_s >= LIFETIME_S
            if silent and peer is not None and end[0] in alive and peer[0] in alive:
                changed |= self.remove(end)
        return changed

    def revive(self, dpid: int, now: float) -> None:
        """A switch is back: its links' time starts anew, since no probe could pass till now."""
        for end, peer in self._peer.items():
            if dpid in (end[0], peer[0]):
                self._seen_s[end] = now

    def ways(self, dpid: int) -> Mapping[int, int]:
        """For each other switch that can be reached, the port that leads to it."""
        if dpid not in self._next_hop:
            self._next_hop[dpid] = self._search(dpid)
        return self._next_hop[dpid]

    def has_loop(self) -> bool:
        """True when the links are no tree (or forest): flooding would then go round for ever."""
        switches = {end[0] for end in self._peer}
        parts: set[frozenset[int]] = {frozenset({dpid, *self.ways(dpid)}) for dpid in switches}
        return len(self._peer) // 2 > len(switches) - len(parts)

    def _search(self, start: int) -> dict[int, int]:
        neighbours: dict[int, list[tuple[int, int]]] = {}
        for (dpid, port), (peer, _) in sorted(self._peer.items()):
            neighbours.setdefault(dpid, []).append((port, peer))
        ways: dict[int, int] = {}
        queue = deque([(start, 0)])
        while queue:
            dpid, first = queue.popleft()
            for port, peer in neighbours.get(dpid, []):
                if peer != start and peer not in ways:
                    ways[peer] = first or port
                    queue.append((peer, first or port))
        return ways

    def _forget_ways(self) -> None:
        self._next_hop.clear()
