"""Complete offloads that a sender left to its NIC: checksums and segmentation. No I/O.

A frame read with PACKET_VNET_HDR may have a partial checksum, or be a TCP super-frame (TSO) of up
to 64 KB. A tunnel needs complete frames that fit the MTU. The header that describes the pending
work is struct virtio_net_hdr (Virtio 1.2, section 5.1.6): ten bytes in host byte order.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from vtep.constants import LARGEST_PACKET
from vtep.ethernet import network_offset
from vtep.wire import ones_sum

LENGTH = 10
_HEADER = struct.Struct("=BBHHHH")
NEEDS_CHECKSUM = 1
_GSO_ECN = 0x80
TCPV4, TCPV6 = 1, 4
_GSO_NONE, _GSO_UDP = 0, 5
_SHORT = struct.Struct("!H")
_LONG = struct.Struct("!I")
_TCP, _UDP = 6, 17
_FIN, _PSH, _CWR = 0x01, 0x08, 0x80


class VnetHeader(NamedTuple):
    """The pending offloads of a frame."""

    flags: int
    gso_type: int
    header_length: int
    segment_size: int
    checksum_start: int
    checksum_offset: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing is pending."""
        return not (self.flags & NEEDS_CHECKSUM or self.gso_type)


def parse(header: bytes | memoryview) -> VnetHeader:
    """Parse the ten bytes."""
    return VnetHeader(*_HEADER.unpack_from(header))


def pack(header: VnetHeader) -> bytes:
    """The ten bytes of a header."""
    return _HEADER.pack(*header)


def finish(header: VnetHeader, frame: bytes) -> list[bytes] | None:
    """The frames as sent on a wire; None if the header is invalid or of an unknown kind."""
    kind = header.gso_type & ~_GSO_ECN
    if kind == _GSO_NONE:
        return _complete(header, frame) if header.flags & NEEDS_CHECKSUM else [frame]
    layout = _Layout.find(header, frame, kind)
    return None if layout is None else layout.cut(header.segment_size)


def _complete(header: VnetHeader, frame: bytes) -> list[bytes] | None:
    """Complete a checksum; the sender has stored the pseudo-header's sum in its place."""
    start = header.checksum_start
    place = start + header.checksum_offset
    if place + 2 > len(frame):
        return None
    right = _SHORT.pack(_folded(ones_sum(frame[start:])))
    return [frame[:place] + right + frame[place + 2 :]]


def _folded(total: int) -> int:
    """The checksum for a one's complement sum; zero is written as all ones, as UDP requires."""
    return (0xFFFF - total) or 0xFFFF


class _Layout:
    """Where the headers of a super-frame are."""

    def __init__(self, frame: bytes, network: int, transport: int, payload: int, kind: int) -> None:
        self.frame = frame
        self.network = network
        self.transport = transport
        self.payload = payload
        self.ipv6 = frame[network] >> 4 == 6
        self.tcp = kind != _GSO_UDP

    @classmethod
    def find(cls, header: VnetHeader, frame: bytes, kind: int) -> _Layout | None:
        """Find the layout; None if header and frame are inconsistent."""
        network = network_offset(frame)
        transport = header.checksum_start
        shortest = 20 if kind != _GSO_UDP else 8
        if kind not in (TCPV4, TCPV6, _GSO_UDP) or not header.segment_size:
            return None
        if not network + 20 <= transport <= len(frame) - shortest:
            return None
        if not _is_network_header(frame[network:transport], kind):
            return None
        length = (frame[transport + 12] >> 4) * 4 if kind != _GSO_UDP else 8
        payload = transport + length
        if length < shortest or payload >= len(frame):
            return None
        if payload - network + min(header.segment_size, len(frame) - payload) > LARGEST_PACKET:
            return None
        return cls(frame, network, transport, payload, kind)

    def cut(self, size: int) -> list[bytes]:
        """Segment into frames with at most `size` bytes of payload and their own checksums."""
        starts = range(self.payload, len(self.frame), size)
        last = starts[-1]
        return [
            self._piece(number, start, self.frame[start : start + size], start == last)
            for number, start in enumerate(starts)
        ]

    def _piece(self, number: int, start: int, payload: bytes, last: bool) -> bytes:
        piece = bytearray(self.frame[: self.payload])
        length = self.payload - self.transport + len(payload)
        self._patch_network(piece, number, length)
        if self.tcp:
            self._patch_tcp(piece, number, start - self.payload, last)
        else:
            _SHORT.pack_into(piece, self.transport + 4, length)
        piece += payload
        place = self.transport + (16 if self.tcp else 6)
        _SHORT.pack_into(piece, place, 0)
        total = self._pseudo_header(length) + ones_sum(piece[self.transport :])
        _SHORT.pack_into(piece, place, _folded(total % 0xFFFF or 0xFFFF))
        return bytes(piece)

    def _patch_network(self, piece: bytearray, number: int, length: int) -> None:
        at = self.network
        if self.ipv6:
            _SHORT.pack_into(piece, at + 4, self.transport - at - 40 + length)
            return
        _SHORT.pack_into(piece, at + 2, self.transport - at + length)
        identification = _SHORT.unpack_from(piece, at + 4)[0] + number
        _SHORT.pack_into(piece, at + 4, identification & 0xFFFF)
        _SHORT.pack_into(piece, at + 10, 0)
        _SHORT.pack_into(piece, at + 10, 0xFFFF - ones_sum(piece[at : self.transport]))

    def _patch_tcp(self, piece: bytearray, number: int, offset: int, last: bool) -> None:
        at = self.transport
        sequence = _LONG.unpack_from(piece, at + 4)[0] + offset
        _LONG.pack_into(piece, at + 4, sequence & 0xFFFFFFFF)
        if not last:
            piece[at + 13] &= ~(_FIN | _PSH) & 0xFF
        if number:
            piece[at + 13] &= ~_CWR & 0xFF  # RFC 3168: CWR on the first segment only

    def _pseudo_header(self, length: int) -> int:
        addresses = (8, 40) if self.ipv6 else (12, 20)
        start, end = (self.network + offset for offset in addresses)
        return ones_sum(self.frame[start:end]) + (6 if self.tcp else 17) + length


def pending_offloads(frame: bytes, mtu: int) -> VnetHeader | None:
    """The offloads that are pending for a frame from a tunnel; None if there are none.

    Between VTEPs of one machine, virtual links pass on inner frames with partial checksums and
    inner super-frames, and a UDP socket does not report that. A partial checksum equals the sum of
    the pseudo-header. If a complete one happens to be the same, computing it again is harmless.
    mtu: of the interface to which the frame will be written, in bytes.
    """
    network = network_offset(frame)
    found = _transport(frame, network)
    if found is None:
        return None
    transport, protocol, addresses, end = found
    offset = 16 if protocol == _TCP else 6
    if transport + offset + 2 > end:
        return None
    pseudo = (ones_sum(addresses) + protocol + end - transport) % 0xFFFF
    if _SHORT.unpack_from(frame, transport + offset)[0] % 0xFFFF != pseudo:
        return None
    left = VnetHeader(NEEDS_CHECKSUM, _GSO_NONE, 0, 0, transport, offset)
    if end - network <= mtu or protocol != _TCP:
        return left
    payload = transport + (frame[transport + 12] >> 4) * 4
    if payload < transport + 20 or payload - network >= mtu:
        return None
    kind = TCPV4 if len(addresses) == 8 else TCPV6
    kind |= _GSO_ECN if frame[transport + 13] & _CWR else 0
    return left._replace(
        gso_type=kind, header_length=payload, segment_size=mtu - (payload - network)
    )


def _transport(frame: bytes, network: int) -> tuple[int, int, bytes, int] | None:
    """Where TCP or UDP begins, its protocol number, both addresses, and where the packet ends."""
    kind = frame[network - 2 : network]
    if kind == b"\x08\x00" and len(frame) >= network + 20:
        start = network + (frame[network] & 0x0F) * 4
        end = network + int(_SHORT.unpack_from(frame, network + 2)[0])
        protocol = frame[network + 9]
        addresses = frame[network + 12 : network + 20]
        if start < network + 20 or _SHORT.unpack_from(frame, network + 6)[0] & 0x3FFF:
            return None  # a fragment has no complete checksum
    elif kind == b"\x86\xdd" and len(frame) >= network + 40:
        start = network + 40
        end = start + int(_SHORT.unpack_from(frame, network + 4)[0])
        protocol = frame[network + 6]
        addresses = frame[network + 8 : network + 40]
    else:
        return None
    if protocol not in (_TCP, _UDP) or end > len(frame):
        return None
    return start, protocol, addresses, end


def _is_network_header(header: bytes, kind: int) -> bool:
    """Whether the bytes before the transport header are an IP header of the kind's version."""
    version = header[0] >> 4
    if version == 4 and kind != TCPV6:
        return (header[0] & 0x0F) * 4 == len(header)
    return version == 6 and kind != TCPV4 and len(header) >= 40
