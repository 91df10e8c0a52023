"""The VXLAN encapsulation of RFC 7348: build an outer header, check a received one.

The protocol's numbers are in `vtep.constants`. Scapy builds the outer header once. The destination
and the VNI are filled in once for each pair of them, and only a few bytes are patched per packet.

    outer IPv4 (20) or IPv6 (40)    outer UDP (8)               VXLAN (8)
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import ip_address

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.vxlan import VXLAN

from vtep.constants import FLAG_VNI_VALID, VXLAN_HEADER_LENGTH
from vtep.drops import DropReason

ETHERNET_LENGTH = 14
OUTER_LENGTH = 36  # IPv4 + UDP + VXLAN; `overhead` covers both families
_UDP_OVERHEAD = 16  # UDP + VXLAN headers
_IPV4_LENGTH, _IPV6_LENGTH = 20, 40
_IPV4_DESTINATION_AT, _IPV6_DESTINATION_AT = 16, 24
_LENGTH = struct.Struct("!H")
_HEADER = struct.Struct("!II")
_WORTH_FOLDING = 600  # bytes
_FOLDS = tuple((bits, (1 << bits) - 1) for bits in (6144, 3072, 1536, 768))  # multiples of 16
_RESERVED_FIRST = 0xF7FFFFFF  # all of the first word but the I flag
_RESERVED_SECOND = 0x000000FF


def is_ipv6(address: str) -> bool:
    """Whether an address in text form is IPv6."""
    return ":" in address


def overhead(local: str) -> int:
    """The bytes before an inner frame, without the outer Ethernet header."""
    return (_IPV6_LENGTH if is_ipv6(local) else _IPV4_LENGTH) + _UDP_OVERHEAD


def outer_header(
    source: str, destination: str, vni: int, ttl: int, port: int, df: bool = True
) -> bytes:
    """The bytes before an inner frame: IPv4 or IPv6, UDP, VXLAN. RFC 7348 section 5.

    `encapsulate` fills in lengths, source port, traffic class and UDP checksum; the kernel fills in
    the IPv4 checksum.
    """
    six = is_ipv6(destination)
    built = _built(source, six, ttl, port, df)
    at = _IPV6_DESTINATION_AT if six else _IPV4_DESTINATION_AT
    address = ip_address(destination).packed
    return built[:at] + address + built[at + len(address) : -4] + (vni << 8).to_bytes(4, "big")


@lru_cache(maxsize=16)  # a VTEP needs one
def _built(source: str, six: bool, ttl: int, port: int, df: bool) -> bytes:
    """The part of the headers that is the same for all destinations and VNIs."""
    if six:
        ip = IPv6(src=source, dst="::", hlim=ttl, nh=17, plen=0)
    else:
        flags = "DF" if df else 0
        addresses = {"src": source, "dst": "0.0.0.0"}
        ip = IP(**addresses, ttl=ttl, flags=flags, id=0, proto=17, len=0, chksum=0)
    # without `flags` Scapy builds a header of the generic protocol extension
    vxlan = VXLAN(flags=FLAG_VNI_VALID, vni=0)
    return bytes(ip / UDP(sport=0, dport=port, len=0, chksum=0) / vxlan)


def encapsulate(
    header: bytes,
    frame: bytes,
    source_port: int,
    checksum: bool,
    traffic_class: int = 0,
    ttl: int | None = None,
) -> bytearray:
    """Append a frame to an outer header, and set the fields that differ from packet to packet.

    checksum: compute the UDP checksum; otherwise it is zero. ttl: replaces the header's, if given.
    """
    packet = bytearray(header)
    packet += frame
    udp = len(header) - _UDP_OVERHEAD
    length = len(frame) + _UDP_OVERHEAD
    if udp == _IPV4_LENGTH:
        packet[1] = traffic_class
        _LENGTH.pack_into(packet, 2, udp + length)
    else:
        packet[0] |= traffic_class >> 4
        packet[1] |= (traffic_class & 0x0F) << 4
        _LENGTH.pack_into(packet, 4, length)
    if ttl is not None:
        packet[8 if udp == _IPV4_LENGTH else 7] = ttl
    _LENGTH.pack_into(packet, udp, source_port)
    _LENGTH.pack_into(packet, udp + 4, length)
    if checksum:
        _LENGTH.pack_into(packet, udp + 6, _udp_checksum(packet, udp))
    return packet


def complete_checksum(packet: bytearray) -> None:
    """Compute the UDP checksum of a packet that was built with a zero checksum."""
    udp = _IPV4_LENGTH if packet[0] >> 4 == 4 else _IPV6_LENGTH
    _LENGTH.pack_into(packet, udp + 6, _udp_checksum(packet, udp))


def source_port_of(packet: bytearray) -> int:
    """The outer source port of a packet."""
    udp = _IPV4_LENGTH if packet[0] >> 4 == 4 else _IPV6_LENGTH
    return int(_LENGTH.unpack_from(packet, udp)[0])


def _udp_checksum(packet: bytearray, udp: int) -> int:
    """RFC 768 and RFC 8200: over pseudo-header, header and data; zero is written as all ones."""
    addresses = 12 if udp == _IPV4_LENGTH else 8
    total = 17 + len(packet) - udp + ones_sum(packet[addresses:])
    return 0xFFFF - (total % 0xFFFF or 0xFFFF) or 0xFFFF


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """The one's complement sum of 16-bit words (RFC 1071), 0 only for all zeros.

    The sum equals the data as one big number modulo 65535, and Python divides big numbers in C.
    Adding the halves of the number first does not change the sum, and costs less than dividing the
    whole number.
    """
    number = int.from_bytes(data, "big")
    if len(data) & 1:
        number <<= 8
    if len(data) >= _WORTH_FOLDING:
        for bits, mask in _FOLDS:
            number = (number >> bits) + (number & mask)
    return number % 0xFFFF or (0xFFFF if number else 0)


def source_port(flow_hash: int, first: int, last: int) -> int:
    """The outer source port of a flow; all its packets have the same (section 5)."""
    return first + flow_hash % (last - first + 1)


def has_reserved_bits(datagram: bytes) -> bool:
    """Whether a VXLAN header has bits set that section 5 reserves."""
    return datagram[:4] != b"\x08\0\0\0" or datagram[7] != 0


def check_header(datagram: bytes, strict: bool) -> int | DropReason:
    """The VNI of a received datagram, or why it is dropped.

    Reserved bits are ignored on receipt, as section 5 requires, unless `strict`.
    """
    if len(datagram) < VXLAN_HEADER_LENGTH:
        return DropReason.SHORT_HEADER
    first, second = _HEADER.unpack_from(datagram)
    if not first & FLAG_VNI_VALID << 24:
        return DropReason.VNI_FLAG_CLEAR
    if strict and (first & _RESERVED_FIRST or second & _RESERVED_SECOND):
        return DropReason.RESERVED_BITS
    return int(second >> 8)
