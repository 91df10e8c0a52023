"""IGMP on the wire: parse what arrives in an Ethernet frame, build queries.

Pure words: no state, no clock, no sockets. IGMPv1 (RFC 1112), IGMPv2 (RFC 2236), IGMPv3 (RFC 3376).
`parse` never raises, whatever the bytes: what it cannot trust comes back as `Malformed` with the
reason. Nothing but untagged IPv4 over Ethernet is understood.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

IP_PROTO_IGMP = 2
ALL_SYSTEMS = "224.0.0.1"
UNSPECIFIED = "0.0.0.0"
QUERIER_MAC = bytes.fromhex("0276786c6162")  # locally administered; source of our own frames

_ETHERNET_LENGTH = 14
_IP_MIN_LENGTH = 20
_IGMP_MIN_LENGTH = 8
_V3_QUERY_LENGTH = 12  # RFC 3376 7.1: a query this long or longer is version 3
_ROUTER_ALERT = bytes.fromhex("94040000")  # RFC 2113
_TOS_INTERNETWORK_CONTROL = 0xC0  # RFC 3376 4


class Type(IntEnum):
    """IGMP message types that are understood (RFC 3376 section 4)."""

    QUERY = 0x11
    V1_REPORT = 0x12
    V2_REPORT = 0x16
    V2_LEAVE = 0x17
    V3_REPORT = 0x22


class RecordType(IntEnum):
    """IGMPv3 group record types (RFC 3376 section 4.2.12)."""

    MODE_IS_INCLUDE = 1
    MODE_IS_EXCLUDE = 2
    CHANGE_TO_INCLUDE = 3
    CHANGE_TO_EXCLUDE = 4
    ALLOW_NEW_SOURCES = 5
    BLOCK_OLD_SOURCES = 6


class Reason(Enum):
    """Why a frame is no usable IGMP message."""

    NOT_IPV4 = "not_ipv4"
    SHORT = "short"
    BAD_IP_HEADER = "bad_ip_header"
    FRAGMENT = "fragment"
    NOT_IGMP = "not_igmp"
    BAD_IP_CHECKSUM = "bad_ip_checksum"
    BAD_IGMP_CHECKSUM = "bad_igmp_checksum"
    BAD_LENGTH = "bad_length"
    NOT_MULTICAST = "not_multicast"


@dataclass(frozen=True)
class Malformed:
    """A frame that is not to be acted upon nor forwarded (RFC 4541 2.1.1 point 4)."""

    reason: Reason


@dataclass(frozen=True)
class Query:
    """A query; `group` is None for a general one; `max_response_s` in seconds."""

    source: str
    version: int
    group: str | None
    max_response_s: float
    suppress: bool = False


@dataclass(frozen=True)
class Record:
    """One group record of a version 3 report; only the number of sources matters here."""

    type: int
    group: str
    sources: int


@dataclass(frozen=True)
class Report:
    """A membership report of version 1, 2 or 3; the first two as one EXCLUDE {} record."""

    source: str
    version: int
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Leave:
    """A version 2 leave."""

    source: str
    group: str


@dataclass(frozen=True)
class Unrecognised:
    """A sound IGMP message of a type not known here: to be flooded (RFC 4541 2.1.1 point 5)."""

    source: str
    type: int


Message: TypeAlias = "Query | Report | Leave | Unrecognised"


def checksum(data: bytes) -> int:
    """Internet checksum of `data` (RFC 1071); 0 when computed over data that holds a right one."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is_multicast(address: str) -> bool:
    """True for an address in 224.0.0.0/4."""
    return 224 <= int(address.split(".", 1)[0]) <= 239


def is_link_local(group: str) -> bool:
    """True for 224.0.0.0/24, whose data always floods (RFC 4541 2.1.2 point 2)."""
    return group.startswith("224.0.0.")


def group_mac(group: str) -> bytes:
    """The Ethernet address a group is sent to (RFC 1112 6.4); 32 groups share one."""
    octets = [int(part) for part in group.split(".")]
    return bytes((0x01, 0x00, 0x5E, octets[1] & 0x7F, octets[2], octets[3]))


def parse(frame: bytes) -> Message | Malformed:
    """Read an Ethernet frame that should hold IGMP; never raises."""
    if len(frame) < _ETHERNET_LENGTH + _IP_MIN_LENGTH:
        return Malformed(Reason.SHORT)
    if frame[12:14] != b"\x08\x00":
        return Malformed(Reason.NOT_IPV4)
    packet = frame[_ETHERNET_LENGTH:]
    header_length = (packet[0] & 0x0F) * 4
    total_length = struct.unpack_from("!H", packet, 2)[0]
    if packet[0] >> 4 != 4 or not _IP_MIN_LENGTH <= header_length <= total_length <= len(packet):
        return Malformed(Reason.BAD_IP_HEADER)
    if checksum(packet[:header_length]) != 0:
        return Malformed(Reason.BAD_IP_CHECKSUM)
    if struct.unpack_from("!H", packet, 6)[0] & 0x3FFF:  # more fragments, or an offset
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
    if group == UNSPECIFIED:
        group = None
    elif group is not None and not is_multicast(group):
        return Malformed(Reason.NOT_MULTICAST)
    if len(body) >= _V3_QUERY_LENGTH:
        if len(body) < _V3_QUERY_LENGTH + 4 * struct.unpack_from("!H", body, 10)[0]:
            return Malformed(Reason.BAD_LENGTH)
        return Query(source, 3, group, _decode_time(body[1]) / 10, bool(body[8] & 0x08))
    if len(body) != _IGMP_MIN_LENGTH:  # RFC 3376 7.1: 9 to 11 octets are to be ignored
        return Malformed(Reason.BAD_LENGTH)
    if body[1] == 0:
        return Query(source, 1, group, 10.0)  # RFC 2236 4: version 1 means 10 s
    return Query(source, 2, group, body[1] / 10)


def _parse_old_report(source: str, body: bytes) -> Message | Malformed:
    group = _address(body, 4)
    if not is_multicast(group):
        return Malformed(Reason.NOT_MULTICAST)
    version = 1 if body[0] == Type.V1_REPORT else 2
    return Report(source, version, (Record(RecordType.MODE_IS_EXCLUDE, group, 0),))


def _parse_leave(source: str, body: bytes) -> Message | Malformed:
    group = _address(body, 4)
    return Leave(source, group) if is_multicast(group) else Malformed(Reason.NOT_MULTICAST)


def _parse_v3_report(source: str, body: bytes) -> Message | Malformed:
    records = []
    offset = _IGMP_MIN_LENGTH
    for _ in range(struct.unpack_from("!H", body, 6)[0]):
        if offset + 8 > len(body):
            return Malformed(Reason.BAD_LENGTH)
        kind, aux_words, sources = struct.unpack_from("!BBH", body, offset)
        group = _address(body, offset + 4)
        offset += 8 + 4 * sources + 4 * aux_words
        if offset > len(body):
            return Malformed(Reason.BAD_LENGTH)
        if is_multicast(group):
            records.append(Record(kind, group, sources))
    return Report(source, 3, tuple(records))


_PARSERS: dict[int, Callable[[str, bytes], Message | Malformed]] = {
    Type.QUERY: _parse_query,
    Type.V1_REPORT: _parse_old_report,
    Type.V2_REPORT: _parse_old_report,
    Type.V2_LEAVE: _parse_leave,
    Type.V3_REPORT: _parse_v3_report,
}


def build_query(
    group: str | None, max_response_s: float, interval_s: float, source: str = UNSPECIFIED
) -> bytes:
    """An IGMPv3 query as an Ethernet frame, general (`group` None) or group-specific.

    Older hosts read the same bytes as a query of their version (RFC 3376 section 7.2.1).
    The source defaults to 0.0.0.0, that of a snooping switch that takes no part in the election of
    queriers (RFC 4541 section 2.1.1 point 1b).
    """
    body = struct.pack(
        "!BBH4sBBH",
        Type.QUERY,
        _encode_time(round(max_response_s * 10)),
        0,
        _packed(group or UNSPECIFIED),
        2,  # no suppression; robustness variable 2 (RFC 3376 8.1)
        _encode_time(round(interval_s)),
        0,
    )
    return build_frame(source, group or ALL_SYSTEMS, _with_checksum(body, 2), QUERIER_MAC)


def build_frame(source: str, destination: str, body: bytes, source_mac: bytes) -> bytes:
    """An Ethernet frame with IPv4 (TTL 1, Router Alert: RFC 3376 section 4) around an IGMP body."""
    header = struct.pack(
        "!BBHHHBBH4s4s4s",
        0x46,
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
    ethernet = group_mac(destination) + source_mac + b"\x08\x00"
    return (ethernet + _with_checksum(header, 10) + body).ljust(60, b"\0")


def build_report(source: str, version: int, records: tuple[Record, ...], mac: bytes) -> bytes:
    """A membership report as a host would send it; sources are left at 0.0.0.0."""
    if version < 3:
        kind = Type.V1_REPORT if version == 1 else Type.V2_REPORT
        body = struct.pack("!BBH4s", kind, 0, 0, _packed(records[0].group))
        return build_frame(source, records[0].group, _with_checksum(body, 2), mac)
    body = struct.pack("!BBHHH", Type.V3_REPORT, 0, 0, 0, len(records))
    for record in records:
        body += struct.pack("!BBH4s", record.type, 0, record.sources, _packed(record.group))
        body += bytes(4 * record.sources)
    return build_frame(source, "224.0.0.22", _with_checksum(body, 2), mac)


def build_leave(source: str, group: str, mac: bytes) -> bytes:
    """A version 2 leave as a host would send it (RFC 2236 section 3)."""
    body = struct.pack("!BBH4s", Type.V2_LEAVE, 0, 0, _packed(group))
    return build_frame(source, "224.0.0.2", _with_checksum(body, 2), mac)


def _with_checksum(data: bytes, offset: int) -> bytes:
    return data[:offset] + struct.pack("!H", checksum(data)) + data[offset + 2 :]


def _address(data: bytes, offset: int) -> str:
    return ".".join(str(octet) for octet in data[offset : offset + 4])


def _packed(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def _decode_time(code: int) -> int:
    """Max Resp Code and QQIC: plain below 128, else a small float (RFC 3376 4.1.1 and 4.1.7)."""
    if code < 128:
        return code
    return ((code & 0x0F) | 0x10) << (((code >> 4) & 0x07) + 3)


def _encode_time(value: int) -> int:
    """The largest code whose value does not pass `value`; at least 1, so that none reads as v1."""
    if value < 128:
        return max(value, 1)
    codes = range(128, 256)
    return max((code for code in codes if _decode_time(code) <= value), default=128)
