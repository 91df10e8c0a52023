"""Captures on network interfaces: AF_PACKET sockets, read without blocking.

A capture sees each packet as it is on the wire: the 802.1Q tag that the kernel keeps beside the
bytes is put back. Packets queue in the socket, so none is missed between opening and reading.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_SO_TIMESTAMPNS = 35
_TP_STATUS_VLAN_VALID = 0x10
_TP_STATUS_VLAN_TPID_VALID = 0x40
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_TIMESPEC = struct.Struct("=qq")
_RECEIVE_BUFFER = 16 << 20
_LARGEST = 1 << 17

INBOUND, OUTBOUND = 1, 2  # as in pcapng's direction flag


@dataclass(frozen=True)
class Sighting:
    """One packet as a tap saw it."""

    time_ns: int
    node: str
    interface: str
    direction: int
    data: bytes


class Tap:
    """One interface of one node."""

    def __init__(self, node: str, interface: str) -> None:
        """Open it in the current network namespace."""
        self.node = node
        self.interface = interface
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((interface, ETH_P_ALL))

    def send(self, frame: bytes) -> None:
        """Put a frame on the link, as the node itself would."""
        self.socket.send(frame)

    def read(self) -> Iterator[Sighting]:
        """All packets that wait, oldest first."""
        while True:
            try:
                data, extras, _, address = self.socket.recvmsg(_LARGEST, 256)
            except BlockingIOError:
                return
            yield self._sighting(data, extras, address[2])

    def _sighting(
        self, data: bytes, extras: list[tuple[int, int, bytes]], packet_type: int
    ) -> Sighting:
        time_ns = 0
        for level, kind, value in extras:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
                time_ns = seconds * 1_000_000_000 + nanoseconds
            elif (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                data = _with_tag(data, value)
        outgoing = packet_type == socket.PACKET_OUTGOING
        return Sighting(time_ns, self.node, self.interface, OUTBOUND if outgoing else INBOUND, data)


def _with_tag(data: bytes, auxdata: bytes) -> bytes:
    status, _, _, _, _, tci, tpid = _AUXDATA.unpack(auxdata[: _AUXDATA.size])
    if not status & _TP_STATUS_VLAN_VALID:
        return data
    ethertype = tpid if status & _TP_STATUS_VLAN_TPID_VALID else 0x8100
    return data[:12] + struct.pack("!HH", ethertype, tci) + data[12:]


def follow(taps: list[Tap], timeout_s: float | None = None) -> Iterator[Sighting]:
    """Packets of all taps as they come, in order of time within a batch; ends after a silence."""
    by_fd = {tap.socket.fileno(): tap for tap in taps}
    poller = select.poll()
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    while ready := poller.poll(None if timeout_s is None else timeout_s * 1000):
        batch = [sighting for fd, _ in ready for sighting in by_fd[fd].read()]
        yield from sorted(batch, key=lambda sighting: sighting.time_ns)


def drain(taps: list[Tap]) -> list[Sighting]:
    """All packets that wait at the taps, in order of time."""
    return sorted((s for tap in taps for s in tap.read()), key=lambda s: s.time_ns)
