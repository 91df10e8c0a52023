"""Send packets whose UDP checksum is still missing: runs of them by UDP segmentation offload (GSO).

One call with UDP_SEGMENT (udp(7)) takes the payloads of up to 64 packets. The kernel or the NIC
cuts them into the packets that would have been sent one by one, and computes their checksums;
virtual links pass them on uncut and without checksums. The kernel always computes checksums here,
so GSO cannot be used if they must be zero.

The packets leave from UDP sockets, one for each outer source port. A socket is opened only if its
port is free and the run is long enough; single packets leave by the raw socket. A packet socket
with PACKET_VNET_HDR would cost about the same, but then routing, neighbour resolution, the firewall
and IPsec would be left to the VTEP.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

from vtep.config import UnderlayConfig
from vtep.constants import VXLAN_HEADER_LENGTH
from vtep.drops import DropReason
from vtep.underlay.base import SEND_BUFFER, Underlay
from vtep.wire import complete_checksum, overhead, source_port_of

_UDP_SEGMENT = 103
_SIZE = struct.Struct("=H")
_SO_ATTACH_FILTER = 26
_NO_BYTES = struct.pack("=HBBI", 0x06, 0, 0, 0)  # struct sock_filter: BPF_RET, 0 bytes
_SOCKETS = 64
_WORTH_A_SOCKET = 8  # packets: opening a socket costs as much as sending this many one by one


class GsoSender:
    """Sends packets whose UDP checksum is not computed yet."""

    def __init__(self, underlay: Underlay, local: str, port: int) -> None:
        """local, port: the VTEP's address, and the UDP port of all VTEPs."""
        self._underlay, self._local, self._port = underlay, local, port
        self._payload = overhead(local) - VXLAN_HEADER_LENGTH
        # By source port, least recently used first; None if another program has the port
        self._sockets: dict[int, socket.socket | None] = {}

    def send(self, destination: str, packet: bytearray) -> DropReason | None:
        """Send one packet; returns the reason if that failed."""
        complete_checksum(packet)
        return self._underlay.send(destination, packet)

    def send_run(
        self, destination: str, packets: Sequence[bytearray]
    ) -> Sequence[DropReason | None]:
        """Send the packets of one run, by one call if possible; one result for each."""
        if len(packets) > 1 and self._sent_together(destination, packets):
            return [None] * len(packets)
        return [self.send(destination, packet) for packet in packets]

    def _sent_together(self, destination: str, packets: Sequence[bytearray]) -> bool:
        """False if the kernel refused; the packets are then sent one by one, each with a result."""
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
            return False  # too large for the path, queue full, an IPsec policy, ...
        return True

    def _socket(self, sport: int, packets: int) -> socket.socket | None:
        """The socket that is bound to a source port, opened if the run is long enough."""
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
            _receive_nothing(sender)
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


def _receive_nothing(sender: socket.socket) -> None:
    """Filter out all datagrams sent to the socket's port: nobody reads them."""
    program = ctypes.create_string_buffer(_NO_BYTES, len(_NO_BYTES))
    filter_ = struct.pack("@HP", 1, ctypes.addressof(program))
    sender.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)


def kernel_supports_gso() -> bool:
    """Whether this kernel has UDP_SEGMENT."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.getsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT)
        except OSError:
            return False
    return True


def open_gso_sender(config: UnderlayConfig, underlay: Underlay) -> GsoSender | None:
    """The GSO sender of an underlay; None if each packet must be sent by itself.

    The kernel segments only packets with a UDP checksum, and sets DF.
    """
    if not (config.udp_checksum and config.df and kernel_supports_gso()):
        return None
    if not config.offload:
        try:
            underlay.without_send_offloads()
        except OSError:
            return None
    return GsoSender(underlay, config.local, config.port)
