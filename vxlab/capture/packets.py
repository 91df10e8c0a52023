"""Captures on network interfaces: AF_PACKET sockets, read without blocking.

A capture sees each packet as it is on the wire: the 802.1Q tag that the kernel keeps beside the
bytes is put back. Packets queue in the socket, so none is missed between opening and reading.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vxlab.capture.filter import NOTHING, attach

ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_AUXDATA = 8
_SO_TIMESTAMPNS = 35
_TP_STATUS_VLAN_VALID = 0x10
_TP_STATUS_VLAN_TPID_VALID = 0x40
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_STATISTICS = struct.Struct("=II")  # struct tpacket_stats: packets, and those dropped
_TIMESPEC = struct.Struct("=qq")
_RECEIVE_BUFFER = 16 << 20
_LARGEST = 1 << 17

INBOUND, OUTBOUND = 1, 2  # as in pcapng's direction flag


@dataclass(frozen=True)
class CapturedPacket:
    """One packet as a capture saw it; time_ns: nanoseconds since 1970, from the kernel."""

    time_ns: int
    node: str
    interface: str
    direction: int
    data: bytes


class Capture:
    """One interface of one node."""

    def __init__(self, node: str, interface: str, program: bytes | None = None) -> None:
        """Open it in the current network namespace; program: a compiled capture filter."""
        self.node = node
        self.interface = interface
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if program is not None:
            attach(self.socket, program)  # before bind: until then no packet arrives
        self.socket.bind((interface, ETH_P_ALL))

    def stop(self) -> None:
        """Receive nothing more; what has arrived already can still be read."""
        attach(self.socket, NOTHING)

    def is_gone(self) -> bool:
        """Whether the interface no longer exists, so that no packet will arrive."""
        return not self.socket.getsockname()[0]

    def dropped(self) -> int:
        """Packets the kernel dropped since the last call, because the socket's buffer was full."""
        statistics = self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        return int(_STATISTICS.unpack(statistics)[1])

    def send(self, frame: bytes) -> None:
        """Put a frame on the link, as the node itself would."""
        self.socket.send(frame)

    def read(self) -> Iterator[CapturedPacket]:
        """All packets that have arrived and were not read, oldest first."""
        while True:
            try:
                data, extras, _, address = self.socket.recvmsg(_LARGEST, 256)
            except BlockingIOError:
                return
            except OSError as error:  # reported once where the link goes down; it may come up again
                if error.errno != errno.ENETDOWN:
                    raise
                continue
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


def follow(
    captures: list[Capture], timeout_s: float | None = None, stop: int | None = None
) -> Iterator[CapturedPacket]:
    """Packets of all captures as they arrive, in order of time within a batch.

    Ends after timeout_s without a packet; when no interface exists any more; or, when the
    descriptor `stop` becomes readable, after all packets that arrived before.
    """
    by_fd = {capture.socket.fileno(): capture for capture in captures}
    poller = select.poll()
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    if stop is not None:
        poller.register(stop, select.POLLIN)
    while ready := poller.poll(None if timeout_s is None else timeout_s * 1000):
        if stop in [fd for fd, _ in ready]:
            for capture in captures:
                capture.stop()  # else reading would not end while packets arrive
            yield from drain(captures)
            return
        batch = [captured for fd, _ in ready for captured in by_fd[fd].read()]
        yield from sorted(batch, key=lambda captured: captured.time_ns)
        for fd in [fd for fd, _ in ready if by_fd[fd].is_gone()]:
            poller.unregister(fd)
            del by_fd[fd]
        if not by_fd:
            return


def drain(captures: list[Capture]) -> list[CapturedPacket]:
    """All packets that have arrived and were not read, in order of time."""
    return sorted((s for capture in captures for s in capture.read()), key=lambda s: s.time_ns)
