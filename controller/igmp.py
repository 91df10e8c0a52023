"""IGMP on the wire: parse an Ethernet frame, build queries.

Pure functions: no state, no clock, no sockets. IGMPv1 (RFC 1112), IGMPv2 (RFC 2236), IGMPv3
(RFC 3376). `parse` never raises: for a frame that fails a check it returns `Malformed` with the
reason. Only untagged IPv4 over Ethernet is supported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum

from .constants import (
    ALL_SYSTEMS,
    ETHERNET_LENGTH,
    ETHERTYPE_IPV4,
    IGMP_PROXY_SOURCE,
    IP_PROTO_IGMP,
    QUERIER_MAC,
    ROBUSTNESS,
    SHORTEST_FRAME,
    UNSPECIFIED_IPV4,
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
    Unrecognised,
    checksum,
    decode_time,
    encode_time,
    read_records,
)

_ETHERTYPE = ETHERTYPE_IPV4.to_bytes(2, "big")
_IP_MIN_LENGTH = 20
_IGMP_MIN_LENGTH = 8
_V3_QUERY_LENGTH = 12  # RFC 3376 7.1: a query this long or longer is version 3
_V1_RESPONSE_S = 10.0  # RFC 2236 section 4: IGMPv1 hosts answer within 10 s
_ROUTER_ALERT = bytes.fromhex("94040000")  # RFC 2113
_ALL_IGMPV3_ROUTERS = "224.0.0.22"  # RFC 3376 4.2.14
_ALL_ROUTERS = "224.0.0.2"  # RFC 2236 section 3: destination of leaves
_TOS_INTERNETWORK_CONTROL = 0xC0  # RFC 3376 4


class Type(IntEnum):
    """IGMP message types that are supported (RFC 3376 section 4)."""

    QUERY = 0x11
    V1_REPORT = 0x12
    V2_REPORT = 0x16
    V2_LEAVE = 0x17
    V3_REPORT = 0x22


def is_multicast(address: str) -> bool:
    """True for an address in 224.0.0.0/4."""
    return 224 <= int(address.split(".", 1)[0]) <= 239


def is_message(frame: bytes) -> bool:
    """True for a frame that matches the switches' IGMP flow, valid or not."""
    return frame[12:14] == _ETHERTYPE and frame[23:24] == bytes([IP_PROTO_IGMP])


def group_mac(group: str) -> bytes:
    """The MAC address of a group (RFC 1112 6.4): its low 23 bits, so 32 groups share one."""
    octets = [int(part) for part in group.split(".")]
    return bytes((0x01, 0x00, 0x5E, octets[1] & 0x7F, octets[2], octets[3]))


def parse(frame: bytes) -> Message | Malformed:
    """Parse an Ethernet frame that should contain IGMP; never raises."""
    if len(frame) < ETHERNET_LENGTH + _IP_MIN_LENGTH:
        return Malformed(Reason.SHORT)
    if frame[12:14] != _ETHERTYPE:
        return Malformed(Reason.NOT_IPV4)
    packet = frame[ETHERNET_LENGTH:]
    header_length = (packet[0] & 0x0F) * 4
    total_length = struct.unpack_from("!H", packet, 2)[0]
    if packet[0] >> 4 != 4 or not _IP_MIN_LENGTH <= header_length <= total_length <= len(packet):
        return Malformed(Reason.BAD_IP_HEADER)
    if checksum(packet[:header_length]) != 0:
        return Malformed(Reason.BAD_IP_CHECKSUM)
    if struct.unpack_from("!H", packet, 6)[0] & 0x3FFF:  # more fragments follow, or an offset
        return Malformed(Reason.FRAGMENT)
    if packet[9] != IP_PROTO_IGMP:
        return Malformed(Reason.NOT_IGMP)
    return _parse_igmp(_address(packet, 12), packet[header_length:total_length])


def _parse_igmp(source: str, body: bytes) -> Message | Malformed:
    if len(body) < _IGMP_MIN_LENGTH:
        return Malformed(Reason.SHORT)
    if checksum(body) != 0:
        return Malformed(Reason.BAD_IGMP_CHECKSUM)
    parser = _PARSERS.get(body[0])
    return parser(source, body) if parser else Unrecognised(source, body[0])


def _parse_query(source: str, body: bytes) -> Message | Malformed:
    group: str | None = _address(body, 4)
    if group == UNSPECIFIED_IPV4:
        group = None
    elif group is not None and not is_multicast(group):
        return Malformed(Reason.NOT_MULTICAST)
    if len(body) >= _V3_QUERY_LENGTH:
        if len(body) < _V3_QUERY_LENGTH + 4 * struct.unpack_from("!H", body, 10)[0]:
            return Malformed(Reason.BAD_LENGTH)
        return Query(source, 3, group, decode_time(body[1]) / 10, bool(body[8] & 0x08))
    if len(body) != _IGMP_MIN_LENGTH:  # RFC 3376 7.1: queries of 9 to 11 octets are ignored
        return Malformed(Reason.BAD_LENGTH)
    if body[1] == 0:  # RFC 2236 section 4: only IGMPv1 queriers send a response time of 0
        return Query(source, 1, group, _V1_RESPONSE_S)
    return Query(source, 2, group, body[1] / 10)  # in tenths of a second


def _parse_old_report(source: str, body: bytes) -> Message | Malformed:
    group = _address(body, 4)
    if not is_multicast(group):
        return Malformed(Reason.NOT_MULTICAST)
    version = 1 if body[0] == Type.V1_REPORT else 2
    return MembershipReport(source, version, (Record(RecordType.MODE_IS_EXCLUDE, group, 0),))


def _parse_leave(source: str, body: bytes) -> Message | Malformed:
    group = _address(body, 4)
    return Leave(source, group) if is_multicast(group) else Malformed(Reason.NOT_MULTICAST)


def _parse_v3_report(source: str, body: bytes) -> Message | Malformed:
    count: int = struct.unpack_from("!H", body, 6)[0]
    found = read_records(body, _IGMP_MIN_LENGTH, count, 4)
    if found is None:
        return Malformed(Reason.BAD_LENGTH)
    records = ((kind, _address(group, 0), sources) for kind, group, sources in found)
    # A record of an address that is not multicast is left out, the others are used.
    return MembershipReport(
        source, 3, tuple(Record(*each) for each in records if is_multicast(each[1]))
    )


_PARSERS: dict[int, Callable[[str, bytes], Message | Malformed]] = {
    Type.QUERY: _parse_query,
    Type.V1_REPORT: _parse_old_report,
    Type.V2_REPORT: _parse_old_report,
    Type.V2_LEAVE: _parse_leave,
    Type.V3_REPORT: _parse_v3_report,
}


def build_query(
    group: str | None, max_response_s: float, interval_s: float, source: str = IGMP_PROXY_SOURCE
) -> bytes:
    """An IGMPv3 query as an Ethernet frame, general (`group` None) or group-specific.

    IGMPv1 and IGMPv2 hosts read the same bytes as a query of their version (RFC 3376 7.2.1).
    """
    body = struct.pack(
        "!BBH4sBBH",
        Type.QUERY,
        encode_time(round(max_response_s * 10)),
        0,
        _packed(group or UNSPECIFIED_IPV4),
        ROBUSTNESS,  # the flag S is clear
        encode_time(round(interval_s)),
        0,
    )
    return build_frame(source, group or ALL_SYSTEMS, _with_checksum(body, 2), QUERIER_MAC)


def build_frame(source: str, destination: str, body: bytes, source_mac: bytes) -> bytes:
    """An IGMP message in IPv4 (TTL 1, Router Alert: RFC 3376 section 4) and Ethernet."""
    header = struct.pack(
        "!BBHHHBBH4s4s4s",
        0x46,  # version 4, header of 6 words: 20 octets and Router Alert
        _TOS_INTERNETWORK_CONTROL,
        24 + len(body),
        0,
        0,
        1,
        IP_PROTO_IGMP,
        0,
        _packed(source),
        _packed(destination),
        _ROUTER_ALERT,
    )
    ethernet = group_mac(destination) + source_mac + _ETHERTYPE
    return (ethernet + _with_checksum(header, 10) + body).ljust(SHORTEST_FRAME, b"\0")


def build_report(source: str, version: int, records: tuple[Record, ...], mac: bytes) -> bytes:
    """A membership report as a host sends it; all sources in the records are 0.0.0.0."""
    if version < 3:
        kind = Type.V1_REPORT if version == 1 else Type.V2_REPORT
        body = struct.pack("!BBH4s", kind, 0, 0, _packed(records[0].group))
        return build_frame(source, records[0].group, _with_checksum(body, 2), mac)
    body = struct.pack("!BBHHH", Type.V3_REPORT, 0, 0, 0, len(records))
    for record in records:
        body += struct.pack("!BBH4s", record.type, 0, record.sources, _packed(record.group))
        body += bytes(4 * record.sources)
    return build_frame(source, _ALL_IGMPV3_ROUTERS, _with_checksum(body, 2), mac)


def build_leave(source: str, group: str, mac: bytes) -> bytes:
    """A version 2 leave as a host sends it (RFC 2236 section 3)."""
    body = struct.pack("!BBH4s", Type.V2_LEAVE, 0, 0, _packed(group))
    return build_frame(source, _ALL_ROUTERS, _with_checksum(body, 2), mac)


def _with_checksum(data: bytes, offset: int) -> bytes:
    return data[:offset] + struct.pack("!H", checksum(data)) + data[offset + 2 :]


def _address(data: bytes, offset: int) -> str:
    return ".".join(str(octet) for octet in data[offset : offset + 4])


def _packed(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))
