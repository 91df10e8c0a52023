"""Group membership messages as IGMP and MLD share them, and the encoding of their fields.

Pure data and functions: no state, no clock, no sockets. MLDv1 (RFC 2710) is IGMPv2 for IPv6, and
MLDv2 (RFC 3810) is IGMPv3 for IPv6. Both parsers return the types defined here, so that snooping
does not depend on the protocol. `version` is the version number of the protocol itself: MLDv2 has
version 2, although it corresponds to IGMPv3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

_QQIC_MANTISSA = 4  # bits; so in all one-octet codes of both protocols
_RECORD_HEAD_LENGTH = 4  # type, auxiliary length, number of sources; the group follows


class RecordType(IntEnum):
    """Group record types of IGMPv3 (RFC 3376 4.2.12) and MLDv2 (RFC 3810 5.2.12)."""

    MODE_IS_INCLUDE = 1
    MODE_IS_EXCLUDE = 2
    CHANGE_TO_INCLUDE = 3
    CHANGE_TO_EXCLUDE = 4
    ALLOW_NEW_SOURCES = 5
    BLOCK_OLD_SOURCES = 6


class Reason(Enum):
    """Why a frame is not a valid membership message."""

    NOT_IPV4 = "not_ipv4"
    NOT_IPV6 = "not_ipv6"
    SHORT = "short"
    BAD_IP_HEADER = "bad_ip_header"
    FRAGMENT = "fragment"
    NOT_IGMP = "not_igmp"
    NOT_MLD = "not_mld"
    BAD_IP_CHECKSUM = "bad_ip_checksum"
    BAD_IGMP_CHECKSUM = "bad_igmp_checksum"
    BAD_ICMPV6_CHECKSUM = "bad_icmpv6_checksum"
    BAD_HOP_LIMIT = "bad_hop_limit"
    BAD_SOURCE = "bad_source"
    NO_ROUTER_ALERT = "no_router_alert"
    BAD_LENGTH = "bad_length"
    NOT_MULTICAST = "not_multicast"


@dataclass(frozen=True)
class Malformed:
    """A frame that must be neither processed nor forwarded (RFC 4541 2.1.1 point 4, section 3)."""

    reason: Reason


@dataclass(frozen=True)
class Query:
    """A query; `group` is None for a general query; `max_response_s` in seconds.

    `suppress` is the flag S: routers that receive the query must not shorten their timers
    (RFC 3376 4.1.5, RFC 3810 5.1.7).
    """

    source: str
    version: int
    group: str | None
    max_response_s: float
    suppress: bool = False


@dataclass(frozen=True)
class Record:
    """One group record of a report; `sources` is the number of source addresses in it."""

    type: int
    group: str
    sources: int


@dataclass(frozen=True)
class MembershipReport:
    """A membership report of any version; versions without records give one EXCLUDE {} record."""

    source: str
    version: int
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Leave:
    """An IGMPv2 Leave Group or an MLDv1 Done message."""

    source: str
    group: str


@dataclass(frozen=True)
class Unrecognised:
    """A valid IGMP message of an unknown type: it is flooded (RFC 4541 2.1.1 point 5)."""

    source: str
    type: int


Message: TypeAlias = "Query | MembershipReport | Leave | Unrecognised"


def checksum(data: bytes) -> int:
    """Internet checksum of `data` (RFC 1071); 0 if `data` contains its own correct checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def read_records(
    body: bytes, offset: int, count: int, address_length: int
) -> list[tuple[int, bytes, int]] | None:
    """`count` group records as (type, group, number of sources); None if `body` is too short.

    Auxiliary data is counted in words of 32 bits and skipped (RFC 3376 4.2.6, RFC 3810 5.2.6).
    """
    records = []
    for _ in range(count):
        sources_at = offset + _RECORD_HEAD_LENGTH + address_length
        if sources_at > len(body):
            return None
        kind, aux_words, sources = struct.unpack_from("!BBH", body, offset)
        group = body[offset + _RECORD_HEAD_LENGTH : sources_at]
        offset = sources_at + address_length * sources + 4 * aux_words
        if offset > len(body):
            return None
        records.append((kind, group, sources))
    return records


def decode_time(code: int, mantissa: int = _QQIC_MANTISSA) -> int:
    """The value of a Max Resp Code or QQIC (RFC 3376 4.1.1 and 4.1.7, RFC 3810 5.1.3 and 5.1.9).

    A code is an integer, or, if its highest bit is set, a float with three bits of exponent and
    `mantissa` bits of mantissa.
    """
    if code < 1 << (mantissa + 3):
        return code
    exponent = code >> mantissa & 0x07
    return (code & (1 << mantissa) - 1 | 1 << mantissa) << (exponent + 3)


def encode_time(value: int, mantissa: int = _QQIC_MANTISSA) -> int:
    """The largest code whose value is at most `value`; at least 1: IGMP code 0 means IGMPv1."""
    is_float = 1 << (mantissa + 3)
    if value < is_float:
        return max(value, 1)
    for exponent in range(8):
        digits = value >> (exponent + 3)
        if digits < 2 << mantissa:
            return is_float | exponent << mantissa | digits & (1 << mantissa) - 1
    return 2 * is_float - 1
