"""MLD on the wire: parse an Ethernet frame, build queries.

Pure functions: no state, no clock, no sockets. MLDv1 (RFC 2710), MLDv2 (RFC 3810). `parse` never
raises: for a frame that fails a check it returns `Malformed` with the reason. Only untagged IPv6
over Ethernet is supported.

MLD is ICMPv6 behind a Hop-by-Hop Options header with Router Alert, sent from a link-local address
with hop limit 1 (RFC 3810 section 5). `parse` checks all of this: otherwise a host that is not on
the link could change the memberships of the link. The unspecified address is a valid source, too:
a host reports from it while its own address is tentative (RFC 3810 5.2.13), and a switch must
accept such reports (RFC 4541 section 3). Queries from it are sent by other switches; hosts ignore
them.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from enum import IntEnum

from .constants import (
    ALL_NODES,
    ETHERNET_LENGTH,
    ETHERTYPE_IPV6,
    IP_PROTO_ICMPV6,
    MLD_PROXY_SOURCE,
    QUERIER_MAC,
    ROBUSTNESS,
    UNSPECIFIED_IPV6,
)
from .membership import (
    Leave,
    Malformed,
    MembershipReport,
    Message,
    Query,
    Reason,
    Record,
    RecordType,
    checksum,
    decode_time,
    encode_time,
    read_records,
)

_ETHERTYPE = ETHERTYPE_IPV6.to_bytes(2, "big")
_IPV6_LENGTH = 40
_HOP_BY_HOP = 0
_ROUTER_ALERT = bytes.fromhex("05020000")  # RFC 2711 section 2.1: the packet contains MLD
_PAD1, _PADN = b"\x00", b"\x01\x00"  # RFC 8200 4.2: one octet, and two octets, of padding
_HEAD_LENGTH = 8  # octets of a version 2 report before its records
_V1_LENGTH = 24
_V2_QUERY_LENGTH = 28  # RFC 3810 8.1: a query this long or longer is version 2
_MANTISSA = 12  # bits of a version 2 Maximum Response Code (RFC 3810 5.1.3)


class Type(IntEnum):
    """ICMPv6 types of MLD messages (RFC 3810 section 5)."""

    QUERY = 130
    V1_REPORT = 131
    V1_DONE = 132
    V2_REPORT = 143


def is_multicast(address: bytes) -> bool:
    """True for an address in ff00::/8."""
    return address[0] == 0xFF


def is_link_local(address: bytes) -> bool:
    """True for an address in fe80::/10."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def is_message(frame: bytes) -> bool:
    """True for a frame that matches the switches' MLD flows, valid or not.

    Switches find the ICMPv6 type behind extension headers, so a Hop-by-Hop header may be there.
    """
    if len(frame) <= ETHERNET_LENGTH + _IPV6_LENGTH or frame[12:14] != _ETHERTYPE:
        return False
    following, offset = _past_hop_by_hop(frame[ETHERNET_LENGTH:])
    icmp = frame[ETHERNET_LENGTH + offset :]
    return following == IP_PROTO_ICMPV6 and bool(icmp) and icmp[0] in _PARSERS


def _past_hop_by_hop(packet: bytes) -> tuple[int, int]:
    """The next header after a Hop-by-Hop header, if there is one, and its offset.

    The offset comes from the packet's own length field and can be beyond its end.
    """
    if packet[6] != _HOP_BY_HOP or len(packet) < _IPV6_LENGTH + 2:
        return packet[6], _IPV6_LENGTH
    return packet[_IPV6_LENGTH], _IPV6_LENGTH + 8 * (packet[_IPV6_LENGTH + 1] + 1)


def parse(frame: bytes) -> Message | Malformed:
    """Parse an Ethernet frame that should contain MLD; never raises."""
    if len(frame) < ETHERNET_LENGTH + _IPV6_LENGTH:
        return Malformed(Reason.SHORT)
    if frame[12:14] != _ETHERTYPE:
        return Malformed(Reason.NOT_IPV6)
    packet = frame[ETHERNET_LENGTH:]
    length = _IPV6_LENGTH + struct.unpack_from("!H", packet, 4)[0]
    if packet[0] >> 4 != 6 or length > len(packet):
        return Malformed(Reason.BAD_IP_HEADER)
    following, offset = _past_hop_by_hop(packet[:length])
    if following != IP_PROTO_ICMPV6:
        return Malformed(Reason.NOT_MLD)
    if offset > length:
        return Malformed(Reason.BAD_IP_HEADER)
    if not _has_router_alert(packet[_IPV6_LENGTH + 2 : offset]):
        return Malformed(Reason.NO_ROUTER_ALERT)
    if packet[7] != 1:
        return Malformed(Reason.BAD_HOP_LIMIT)
    return _parse_icmp(packet[8:24], packet[24:40], packet[offset:length])


def _has_router_alert(options: bytes) -> bool:
    """Whether the Router Alert for MLD is among a header's options (RFC 8200 4.2)."""
    while options and not options.startswith(_ROUTER_ALERT):
        length = 2 + int.from_bytes(options[1:2], "big")
        options = options[1 if options[:1] == _PAD1 else length :]
    return bool(options)


def _parse_icmp(source: bytes, destination: bytes, body: bytes) -> Message | Malformed:
    if len(body) < _HEAD_LENGTH:
        return Malformed(Reason.SHORT)
    if checksum(_pseudo_header(source, destination, body) + body) != 0:
        return Malformed(Reason.BAD_ICMPV6_CHECKSUM)
    parser = _PARSERS.get(body[0])
    if parser is None:
        return Malformed(Reason.NOT_MLD)
    if any(source) and not is_link_local(source):
        return Malformed(Reason.BAD_SOURCE)
    if body[0] != Type.V2_REPORT and len(body) < _V1_LENGTH:
        return Malformed(Reason.BAD_LENGTH)
    return parser(_text(source), body)


def _parse_query(source: str, body: bytes) -> Message | Malformed:
    address = body[8:24]
    if any(address) and not is_multicast(address):
        return Malformed(Reason.NOT_MULTICAST)
    group = _text(address) if any(address) else None
    code: int = struct.unpack_from("!H", body, 4)[0]
    if len(body) >= _V2_QUERY_LENGTH:
        if len(body) < _V2_QUERY_LENGTH + 16 * struct.unpack_from("!H", body, 26)[0]:
            return Malformed(Reason.BAD_LENGTH)
        suppress = bool(body[24] & 0x08)
        return Query(source, 2, group, decode_time(code, _MANTISSA) / 1000, suppress)
    if len(body) != _V1_LENGTH:  # RFC 3810 8.1: queries of 25 to 27 octets are ignored
        return Malformed(Reason.BAD_LENGTH)
    return Query(source, 1, group, code / 1000)


def _parse_v1_report(source: str, body: bytes) -> Message | Malformed:
    if not is_multicast(body[8:24]):
        return Malformed(Reason.NOT_MULTICAST)
    return MembershipReport(source, 1, (Record(RecordType.MODE_IS_EXCLUDE, _text(body[8:24]), 0),))


def _parse_done(source: str, body: bytes) -> Message | Malformed:
    group = body[8:24]
    return Leave(source, _text(group)) if is_multicast(group) else Malformed(Reason.NOT_MULTICAST)


def _parse_v2_report(source: str, body: bytes) -> Message | Malformed:
    count: int = struct.unpack_from("!H", body, 6)[0]
    found = read_records(body, _HEAD_LENGTH, count, 16)
    if found is None:
        return Malformed(Reason.BAD_LENGTH)
    # A record of an address that is not multicast is left out, the others are used.
    valid = (record for record in found if is_multicast(record[1]))
    records = (Record(kind, _text(group), sources) for kind, group, sources in valid)
    return MembershipReport(source, 2, tuple(records))


_PARSERS: dict[int, Callable[[str, bytes], Message | Malformed]] = {
    Type.QUERY: _parse_query,
    Type.V1_REPORT: _parse_v1_report,
    Type.V1_DONE: _parse_done,
    Type.V2_REPORT: _parse_v2_report,
}


def build_query(
    group: str | None, max_response_s: float, interval_s: float, source: str = MLD_PROXY_SOURCE
) -> bytes:
    """An MLDv2 query as an Ethernet frame, general (`group` None) or for one group.

    MLDv1 hosts read the same bytes as an MLDv1 query (RFC 2710 section 3.7).
    """
    body = struct.pack(
        "!BBHHH16sBBH",
        Type.QUERY,
        0,
        0,
        encode_time(round(max_response_s * 1000), _MANTISSA),
        0,
        _packed(group or UNSPECIFIED_IPV6),
        ROBUSTNESS,  # the flag S is clear
        encode_time(round(interval_s)),
        0,
    )
    return build_frame(source, group or ALL_NODES, body, QUERIER_MAC)


def build_frame(source: str, destination: str, body: bytes, source_mac: bytes) -> bytes:
    """An MLD message in IPv6 (hop limit 1, Router Alert) and Ethernet; its checksum is computed."""
    addresses = _packed(source), _packed(destination)
    total = checksum(_pseudo_header(*addresses, body) + body)
    options = bytes((IP_PROTO_ICMPV6, 0)) + _ROUTER_ALERT + _PADN
    header = struct.pack("!IHBB", 6 << 28, len(options) + len(body), _HOP_BY_HOP, 1)
    ethernet = b"\x33\x33" + addresses[1][12:] + source_mac + _ETHERTYPE  # RFC 2464 section 7
    return (
        ethernet
        + header
        + b"".join(addresses)
        + options
        + body[:2]
        + total.to_bytes(2, "big")
        + body[4:]
    )


def _pseudo_header(source: bytes, destination: bytes, body: bytes) -> bytes:
    """What the checksum covers in addition to the body (RFC 8200 8.1)."""
    return source + destination + struct.pack("!II", len(body), IP_PROTO_ICMPV6)


def _text(address: bytes) -> str:
    return str(ipaddress.IPv6Address(address))


def _packed(address: str) -> bytes:
    return ipaddress.IPv6Address(address).packed
