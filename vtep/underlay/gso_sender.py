"""Sending where UDP checksums are computed: a run of packets in one call, for the kernel to cut.

UDP_SEGMENT (udp(7)) takes the payloads of up to 64 packets. The kernel, or the NIC, cuts them into
the packets that would have been sent one by one, and computes their checksums; virtual links pass
them on uncut and leave the checksums out. It always computes checksums, so it is of no use where
they are zero.

The packets leave from UDP sockets, one for each outer source port, as far as these are free and a
run is long enough to be worth it; a packet alone leaves by the raw socket. The other way would be
a packet socket (PACKET_VNET_HDR). It costs about the same, but leaves routing, neighbours, the
firewall and IPsec to whoever uses it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

from vtep.constants import VXLAN_HEADER_LENGTH
from vtep.drops import DropReason
from vtep.underlay.base import SEND_BUFFER, Underlay
from vtep.wire import complete_checksum, overhead, source_port_of

_UDP_SEGMENT = 103
_SIZE = struct.Struct("=H")
_SO_ATTACH_FILTER = 26
_NO_BYTES = struct.pack("=HBBI", 0x06, 0, 0, 0)  # struct sock_filter: BPF_RET, 0 bytes
_SOCKETS = 64
_WORTH_A_SOCKET = 8  # packets: opening one costs as much as sending so many by themselves


class GsoSender:
    """Sends packets whose UDP checksum is not yet computed."""

    def __init__(self, underlay: Underlay, local: str, port: int) -> None:
        """local, port: the VTEP's address, and the UDP port of all VTEPs."""
        self._underlay, self._local, self._port = underlay, local, port
        self._payload = overhead(local) - VXLAN_HEADER_LENGTH
        # By source port, the latest used last; None where another program has the port
        self._sockets: dict[int, socket.socket | None] = {}

    def send(self, destination: str, packet: bytearray) -> DropReason | None:
        """Send one packet; the reason if it could not be."""
        complete_checksum(packet)
        return self._underlay.send(destination, packet)

    def send_run(
        self, destination: str, packets: Sequence[bytearray]
    ) -> Sequence[DropReason | None]:
        """Send the packets of one run, together if they can be; for each as `send` does."""
        if len(packets) > 1 and self._sent_together(destination, packets):
            return [None] * len(packets)
        return [self.send(destination, packet) for packet in packets]

    def _sent_together(self, destination: str, packets: Sequence[bytearray]) -> bool:
        """False where the kernel will not: by themselves each gets what it deserves."""
        first, payload = packets[0], self._payload
        sender = self._socket(source_port_of(first), len(packets))
        if sender is None:
            return False
        size = _SIZE.pack(len(first) - payload)
        marks = self._underlay.marks(first)
        try:
            sender.sendmsg(
                [memoryview(packet)[payload:] for packet in packets],
                [*marks, (socket.IPPROTO_UDP, _UDP_SEGMENT, size)],
                0,
                (destination, self._port),
            )
        except OSError:
            return False  # too large for the path, no room, an IPsec policy, ...
        return True

    def _socket(self, sport: int, packets: int) -> socket.socket | None:
        """The one that has a source port, opened if the run is worth it."""
        if sport in self._sockets:
            found = self._sockets.pop(sport)
        elif packets < _WORTH_A_SOCKET:
            return None
        else:
            if len(self._sockets) >= _SOCKETS:
                self._close(next(iter(self._sockets)))
            found = self._opened(sport)
        self._sockets[sport] = found
        return found

    def _opened(self, sport: int) -> socket.socket | None:
        try:
            sender = self._underlay.open(socket.SOCK_DGRAM, 0)
        except OSError:
            return None
        try:
            _make_deaf(sender)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._underlay.prepare_sender(sender)
            sender.bind((self._local, sport))
        except OSError:
            sender.close()
            return None
        return sender

    def _close(self, sport: int) -> None:
        if (found := self._sockets.pop(sport)) is not None:
            found.close()

    def close(self) -> None:
        """Close all sockets, the underlay's too."""
        for sport in list(self._sockets):
            self._close(sport)
        self._underlay.close()


def _make_deaf(sender: socket.socket) -> None:
    """Receive nothing, whoever sends to its port: nobody would read it."""
    program = ctypes.create_string_buffer(_NO_BYTES, len(_NO_BYTES))
    filter_ = struct.pack("@HP", 1, ctypes.addressof(program))
    sender.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)


def kernel_supports_gso() -> bool:
    """Whether this kernel cuts UDP super-packets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.getsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT)
        except OSError:
            return False
    return True
