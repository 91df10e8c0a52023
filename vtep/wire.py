"""Every fact of RFC 7348 that is on the wire: numbers, header build and header check.

No other file of this package contains these numbers. Scapy builds each header once for a pair of
VNI and destination; per packet only the few bytes that differ are patched.

    outer IPv4 (20)           outer UDP (8)                VXLAN (8)
    2 total length            20 source port               28 flags  29 reserved (3)
    16 destination address    24 length   26 checksum      32 VNI (3)  35 reserved (1)
"""

from __future__ import annotations

import struct

from scapy.layers.inet import IP, UDP
from scapy.layers.vxlan import VXLAN

from vtep.drops import DropReason

PORT = 4789  # section 5: the destination port assigned by IANA
HEADER_LENGTH = 8  # section 5
FLAG_VNI_VALID = 0x08  # section 5: the I flag
LAST_VNI = 0xFFFFFF  # section 4: 24 bit
FIRST_SOURCE_PORT, LAST_SOURCE_PORT = 49152, 65535  # section 5: the dynamic range

OUTER_LENGTH = 36  # IPv4 + UDP + VXLAN, as built here
LARGEST_PACKET = 65_535  # RFC 791: total length is 16 bit
_UDP_OFFSET = 20
_UDP_OVERHEAD = 16  # UDP + VXLAN headers
_LENGTH = struct.Struct("!H")
_HEADER = struct.Struct("!II")
_RESERVED_FIRST = 0xF7FFFFFF  # all of the first word but the I flag
_RESERVED_SECOND = 0x000000FF


def outer_header(source: str, destination: str, vni: int, ttl: int, port: int) -> bytes:
    """The 36 bytes before an inner frame: IPv4 with DF, UDP with zero checksum, VXLAN.

    Total length, UDP length and source port are for `encapsulate` to fill in. RFC 7348 section 5;
    the kernel fills in the IPv4 checksum.
    """
    # flags are given: Scapy's default is the generic protocol extension's form
    header = (
        IP(src=source, dst=destination, ttl=ttl, flags="DF", id=0, proto=17, len=0, chksum=0)
        / UDP(sport=0, dport=port, len=0, chksum=0)
        / VXLAN(flags=FLAG_VNI_VALID, vni=vni)
    )
    return bytes(header)


def encapsulate(header: bytes, frame: bytes, source_port: int, checksum: bool) -> bytearray:
    """Put a frame behind an outer header; lengths, source port and UDP checksum are patched in."""
    packet = bytearray(header)
    packet += frame
    length = len(frame) + _UDP_OVERHEAD
    _LENGTH.pack_into(packet, 2, length + _UDP_OFFSET)
    _LENGTH.pack_into(packet, _UDP_OFFSET, source_port)
    _LENGTH.pack_into(packet, _UDP_OFFSET + 4, length)
    if checksum:
        _LENGTH.pack_into(packet, _UDP_OFFSET + 6, _udp_checksum(packet))
    return packet


def _udp_checksum(packet: bytearray) -> int:
    """RFC 768: over pseudo-header, header and data; zero is sent as all ones."""
    total = 17 + len(packet) - _UDP_OFFSET + ones_sum(packet[12:])
    return 0xFFFF - (total % 0xFFFF or 0xFFFF) or 0xFFFF


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """The one's complement sum of 16-bit words (RFC 1071), 0 only for all zeros.

    A big number modulo 65535 is that sum, and Python divides big numbers in C.
    """
    number = int.from_bytes(data, "big")
    if len(data) & 1:
        number <<= 8
    return number % 0xFFFF or (0xFFFF if number else 0)


def source_port(flow_hash: int, first: int, last: int) -> int:
    """The outer source port of a flow: one flow, one port (section 5)."""
    return first + flow_hash % (last - first + 1)


def check_header(datagram: bytes, strict: bool) -> int | DropReason:
    """The VNI of a received datagram, or why it is dropped.

    Reserved bits are ignored on receipt as section 5 demands, unless `strict`.
    """
    if len(datagram) < HEADER_LENGTH:
        return DropReason.SHORT_HEADER
    first, second = _HEADER.unpack_from(datagram)
    if not first & FLAG_VNI_VALID << 24:
        return DropReason.VNI_FLAG_CLEAR
    if strict and (first & _RESERVED_FIRST or second & _RESERVED_SECOND):
        return DropReason.RESERVED_BITS
    return int(second >> 8)
