"""The MAC address table of each switch: L2 learning. Pure state; time is an argument.

An address is learned from the source of a frame, at one port of each switch; if it is seen at
another port, it has moved. The switch does the ageing: the source flow idles out and the switch
sends a Flow Removed message. A packet-in from a known address means that the switch has lost the
source flow, which is then installed again; a packet-in within REWRITE_S of the last installation
was already on its way. The tables contain addresses of VTEPs only, since frames of VMs travel
inside the VTEPs' datagrams.
"""

from __future__ import annotations

from collections.abc import Iterator

REWRITE_S = 1.0  # longer than packet-ins of one burst stay in the queues


def learnable(mac: bytes) -> bool:
    """False for addresses that cannot be a source: group addresses and all zeros (IEEE 802.3)."""
    return len(mac) == 6 and not mac[0] & 1 and any(mac)


class Switching:
    """The address table of every switch."""

    def __init__(self) -> None:
        self._table: dict[int, dict[bytes, tuple[int, float]]] = {}

    def learn(self, dpid: int, mac: bytes, port: int, now: float) -> bool:
        """Record an address at a port; True if its flows must be installed."""
        table = self._table.setdefault(dpid, {})
        known = table.get(mac)
        if known is not None and known[0] == port and now - known[1] < REWRITE_S:
            return False
        table[mac] = (port, now)
        return True

    def port(self, dpid: int, mac: bytes) -> int | None:
        """The port at which a switch has learned the address; None if it is unknown."""
        known = self._table.get(dpid, {}).get(mac)
        return None if known is None else known[0]

    def forget(self, dpid: int, mac: bytes, port: int) -> bool:
        """The address has idled out at this port; False if it is not (or no longer) there."""
        if self.port(dpid, mac) != port:
            return False
        del self._table[dpid][mac]
        return True

    def forget_port(self, dpid: int, port: int) -> list[bytes]:
        """The port is down; returns the addresses that were learned at it."""
        gone = [mac for mac, where in self.hosts(dpid) if where == port]
        for mac in gone:
            del self._table[dpid][mac]
        return gone

    def hosts(self, dpid: int) -> Iterator[tuple[bytes, int]]:
        """All (address, port) of a switch, sorted."""
        return iter(sorted((mac, port) for mac, (port, _) in self._table.get(dpid, {}).items()))
