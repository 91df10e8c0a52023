"""Where each underlay address is, switch by switch: L2 learning. Pure state; time is an argument.

An address is learned from the frames it sends, at one port of each switch; seen at another port it
has moved. Ageing is the switch's: the source flow idles out and the switch says so. A switch that
asks again about an address it should know has lost the flow, which is then written anew; those
asked within REWRITE_S were on their way when it was written. The tables hold addresses of tunnel
end points only, since a VM's frames travel inside their datagrams.
"""

from __future__ import annotations

from collections.abc import Iterator

REWRITE_S = 1.0


def learnable(mac: bytes) -> bool:
    """False for addresses that cannot be a source: group addresses and all zeros."""
    return len(mac) == 6 and not mac[0] & 1 and any(mac)


class Switching:
    """The address table of every switch."""

    def __init__(self) -> None:
        self._table: dict[int, dict[bytes, tuple[int, float]]] = {}

    def learn(self, dpid: int, mac: bytes, port: int, now: float) -> bool:
        """Record an address at a port; True when its flows are to be written."""
        table = self._table.setdefault(dpid, {})
        known = table.get(mac)
        if known is not None and known[0] == port and now - known[1] < REWRITE_S:
            return False
        table[mac] = (port, now)
        return True

    def port(self, dpid: int, mac: bytes) -> int | None:
        """The port behind which a switch sees the address."""
        known = self._table.get(dpid, {}).get(mac)
        return None if known is None else known[0]

    def forget(self, dpid: int, mac: bytes, port: int) -> bool:
        """The address idled out at this port; False when it is not (any longer) there."""
        if self.port(dpid, mac) != port:
            return False
        del self._table[dpid][mac]
        return True

    def forget_port(self, dpid: int, port: int) -> list[bytes]:
        """The port is down; answers the addresses that were behind it."""
        gone = [mac for mac, where in self.hosts(dpid) if where == port]
        for mac in gone:
            del self._table[dpid][mac]
        return gone

    def hosts(self, dpid: int) -> Iterator[tuple[bytes, int]]:
        """All (address, port) of a switch, in order."""
        return iter(sorted((mac, port) for mac, (port, _) in self._table.get(dpid, {}).items()))
