"""Report to a sender that its packet does not fit the tunnel: path MTU discovery.

RFC 7348 section 4.3 recommends it. The message is ICMP "fragmentation needed" (RFC 792, RFC 1191)
or ICMPv6 "packet too big" (RFC 4443 section 3.2), as a frame to the sender. Its source is the
address to which the packet was sent, because a VTEP has no address in the segment. No I/O.
"""

from __future__ import annotations

import struct

from vtep.ethernet import is_group_address, network_offset
from vtep.wire import ones_sum

_SHORT = struct.Struct("!H")
_ICMP, _ICMPV6 = 1, 58
_ICMP_ERRORS = (3, 4, 5, 11, 12)
_IPV6_LEAST_MTU = 1280  # RFC 8200; RFC 4443: an ICMPv6 error is truncated to fit it
_HOPS = 64


def too_big(frame: bytes, mtu: int) -> bytes | None:
    """The message about a frame whose IP packet exceeds `mtu` bytes; None if not permitted."""
    at = network_offset(frame)
    if len(frame) < at:
        return None
    if is_group_address(frame[:6]) or is_group_address(frame[6:12]):
        return None
    head = frame[6:12] + frame[:6] + frame[12:at]
    ethertype, packet = frame[at - 2 : at], frame[at:]
    if ethertype == b"\x08\x00" and len(packet) >= 20:
        message = _icmp(packet, mtu)
    elif ethertype == b"\x86\xdd" and len(packet) >= 40:
        message = _icmpv6(packet, mtu)
    else:
        return None
    return None if message is None else head + message


def _icmp(packet: bytes, mtu: int) -> bytes | None:
    header = (packet[0] & 0x0F) * 4
    if int.from_bytes(packet[6:8], "big") & 0x1FFF:
        return None  # RFC 1122 section 3.2.2: only about the first fragment
    if packet[9] == _ICMP and packet[header : header + 1] in map(_byte, _ICMP_ERRORS):
        return None  # RFC 1122 section 3.2.2: never about an ICMP error
    quoted = packet[: header + 8]
    body = bytearray(struct.pack("!BBHHH", 3, 4, 0, 0, min(mtu, 0xFFFF)) + quoted)
    _SHORT.pack_into(body, 2, 0xFFFF - ones_sum(body))
    ends = packet[16:20] + packet[12:16]
    ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, _HOPS, _ICMP, 0) + ends)
    _SHORT.pack_into(ip, 10, 0xFFFF - ones_sum(ip))
    return bytes(ip + body)


def _byte(number: int) -> bytes:
    return bytes([number])


def _icmpv6(packet: bytes, mtu: int) -> bytes | None:
    if packet[6] == _ICMPV6 and len(packet) > 40 and packet[40] < 128:
        return None  # RFC 4443 section 2.4 (e): never about an error
    quoted = packet[: _IPV6_LEAST_MTU - 48]
    body = bytearray(struct.pack("!BBHI", 2, 0, 0, mtu) + quoted)
    ends = packet[24:40] + packet[8:24]
    total = ones_sum(ends) + len(body) + _ICMPV6 + ones_sum(body)
    _SHORT.pack_into(body, 2, (0xFFFF - (total % 0xFFFF or 0xFFFF)) or 0xFFFF)
    return struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, _HOPS) + ends + bytes(body)
