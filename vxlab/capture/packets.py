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
class CapturedPacket:
    """One packet as a capture saw it."""

    time_ns: int
    node: str
    interface: str
    direction: int
    data: bytes


class Capture:
    """A capture on one interface of one node."""

    def __init__(self, node: str, interface: str) -> None:
        """Open it on an interface of the current network namespace."""
        self.node = node
        self.interface = interface
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((interface, ETH_P_ALL))

    def send(self, frame: bytes) -> None:
        """Send a frame on the link, as the node itself would."""
        self.socket.send(frame)

    def read(self) -> Iterator[CapturedPacket]:
        """All packets that are queued, oldest first."""
        while True:
            try:
                data, extras, _, address = self.socket.recvmsg(_LARGEST, 256)
            except BlockingIOError:
                return
            yield self._captured(data, extras, address[2])

    def _captured(
        self, data: bytes, extras: list[tuple[int, int, bytes]], packet_type: int
    ) -> CapturedPacket:
        time_ns = 0
        for level, kind, value in extras:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
                time_ns = seconds * 1_000_000_000 + nanoseconds
            elif (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                data = _with_tag(data, value)
        outgoing = packet_type == socket.PACKET_OUTGOING
        return CapturedPacket(
            time_ns, self.node, self.interface, OUTBOUND if outgoing else INBOUND, data
        )


def _with_tag(data: bytes, auxdata: bytes) -> bytes:
    status, _, _, _, _, tci, tpid = _AUXDATA.unpack(auxdata[: _AUXDATA.size])
    if not status & _TP_STATUS_VLAN_VALID:
        return data
    ethertype = tpid if status & _TP_STATUS_VLAN_TPID_VALID else 0x8100
    return data[:12] + struct.pack("!HH", ethertype, tci) + data[12:]


def follow(captures: list[Capture], timeout_s: float | None = None) -> Iterator[CapturedPacket]:
    """Packets of all captures as they arrive, each batch in order of time; ends after a silence."""
    by_fd = {capture.socket.fileno(): capture for capture in captures}
    poller = select.poll()
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    while ready := poller.poll(None if timeout_s is None else timeout_s * 1000):
        batch = [captured for fd, _ in ready for captured in by_fd[fd].read()]
        yield from sorted(batch, key=lambda captured: captured.time_ns)


def drain(captures: list[Capture]) -> list[CapturedPacket]:
    """All packets that are queued in the captures, in order of time."""
    return sorted((s for capture in captures for s in capture.read()), key=lambda s: s.time_ns)
