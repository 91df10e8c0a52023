"""The words of group membership that IGMP and MLD share: their messages, and how fields are coded.

Pure words: no state, no clock, no sockets. MLDv1 (RFC 2710) says over IPv6 what IGMPv2 says over
IPv4, and MLDv2 (RFC 3810) what IGMPv3 says; so both parsers answer with the same shapes, and
whoever keeps memberships need not know which one read them. `version` is the protocol's own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

QUERIER_MAC = bytes.fromhex("0276786c6162")  # locally administered; source of our own frames
ROBUSTNESS = 2  # RFC 3376 8.1, RFC 3810 9.1
ETHERNET_LENGTH = 14

_QQIC_MANTISSA = 4
_RECORD_HEAD = 4  # type, auxiliary length, number of sources; the group follows


class RecordType(IntEnum):
    """Group record types of IGMPv3 (RFC 3376 4.2.12) and MLDv2 (RFC 3810 5.2.12)."""

    MODE_IS_INCLUDE = 1
    MODE_IS_EXCLUDE = 2
    CHANGE_TO_INCLUDE = 3
    CHANGE_TO_EXCLUDE = 4
    ALLOW_NEW_SOURCES = 5
    BLOCK_OLD_SOURCES = 6


class Reason(Enum):
    """Why a frame is no usable message."""

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
    """A frame that is not to be acted upon nor forwarded (RFC 4541 2.1.1 point 4, section 3)."""

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
    """One group record of a report; only the number of sources matters here."""

    type: int
    group: str
    sources: int


@dataclass(frozen=True)
class Report:
    """A membership report of any version; those without records as one EXCLUDE {} record."""

    source: str
    version: int
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Leave:
    """An IGMPv2 leave, or an MLDv1 done."""

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


def read_records(
    body: bytes, offset: int, count: int, address_length: int
) -> list[tuple[int, bytes, int]] | None:
    """`count` group records as (type, group, number of sources); None if they pass the end."""
    records = []
    for _ in range(count):
        sources_at = offset + _RECORD_HEAD + address_length
        if sources_at > len(body):
            return None
        kind, aux_words, sources = struct.unpack_from("!BBH", body, offset)
        group = body[offset + _RECORD_HEAD : sources_at]
        offset = sources_at + address_length * sources + 4 * aux_words
        if offset > len(body):
            return None
        records.append((kind, group, sources))
    return records


def decode_time(code: int, mantissa: int = _QQIC_MANTISSA) -> int:
    """Max Resp Code and QQIC: plain, or a small float (RFC 3376 4.1.1 and 4.1.7, RFC 3810 5.1.3).

    A code has the bit that says float, three bits of exponent and `mantissa` bits more.
    """
    if code < 1 << (mantissa + 3):
        return code
    exponent = code >> mantissa & 0x07
    return (code & (1 << mantissa) - 1 | 1 << mantissa) << (exponent + 3)


def encode_time(value: int, mantissa: int = _QQIC_MANTISSA) -> int:
    """The largest code whose value does not pass `value`; at least 1: 0 reads as IGMPv1."""
    is_float = 1 << (mantissa + 3)
    if value < is_float:
        return max(value, 1)
    for exponent in range(8):
        digits = value >> (exponent + 3)
        if digits < 2 << mantissa:
            return is_float | exponent << mantissa | digits & (1 << mantissa) - 1
    return 2 * is_float - 1
