"""Parses the IGMP and MLD reports among packets of the underlay."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vxlab.conformance.frames import untagged

_IGMP, _ICMPV6 = 2, 58
_V2_REPORT, _V2_LEAVE, _V3_REPORT, _MLD1_REPORT, _MLD1_DONE, _MLD2_REPORT = (
    0x16, 0x17, 0x22, 131, 132, 143,
)  # fmt: skip
_EXCLUDE = (2, 4)  # RFC 3376 section 4.2.12: MODE_IS_EXCLUDE, CHANGE_TO_EXCLUDE_MODE
_INCLUDE = (1, 3)


@dataclass(frozen=True)
class GroupChange:
    """One host joins or leaves one group."""

    group: str
    joins: bool
    sources: int  # how many source addresses the report lists
    text: str  # for people


def reports(packets: Iterable[bytes]) -> list[GroupChange]:
    """All reports in packets of the underlay, oldest first."""
    return [report for packet in packets for report in _of(untagged(packet))]


def _of(plain: bytes) -> Iterator[GroupChange]:
    if plain[12:14] == b"\x08\x00" and plain[23:24] == bytes((_IGMP,)):
        yield from _igmp(plain[14 + (plain[14] & 0x0F) * 4 :])
    elif (
        plain[12:14] == b"\x86\xdd" and plain[20:21] == b"\0" and plain[54:55] == bytes((_ICMPV6,))
    ):
        yield from _mld(plain[54 + 8 :])  # behind the hop-by-hop header with its router alert


def _igmp(message: bytes) -> Iterator[GroupChange]:
    kind = message[0] if len(message) >= 8 else None
    if kind in (_V2_REPORT, _V2_LEAVE):
        group = str(ipaddress.ip_address(message[4:8]))
        text = "IGMPv2 report" if kind == _V2_REPORT else "IGMPv2 leave"
        yield GroupChange(group, kind == _V2_REPORT, 0, text)
    elif kind == _V3_REPORT:
        yield from _records(message, 4, "IGMPv3")


def _mld(message: bytes) -> Iterator[GroupChange]:
    kind = message[0] if len(message) >= 8 else None
    if kind in (_MLD1_REPORT, _MLD1_DONE):
        group = str(ipaddress.ip_address(message[8:24]))
        yield GroupChange(group, kind == _MLD1_REPORT, 0, f"MLDv1 type {kind}")
    elif kind == _MLD2_REPORT:
        yield from _records(message, 16, "MLDv2")


def _records(message: bytes, size: int, name: str) -> Iterator[GroupChange]:
    """Group records: type, length of auxiliary data, number of sources, group, sources."""
    at = 8
    for _ in range(int.from_bytes(message[6:8], "big")):
        if at + 4 + size > len(message):
            return  # the record is cut off
        kind, auxiliary = message[at], message[at + 1]
        sources = int.from_bytes(message[at + 2 : at + 4], "big")
        group = str(ipaddress.ip_address(message[at + 4 : at + 4 + size]))
        joins = kind in _EXCLUDE or (kind in _INCLUDE and sources > 0)
        text = f"{name} record of type {kind} with {sources} sources"
        yield GroupChange(group, joins, sources, text)
        at += 4 + size + sources * size + auxiliary * 4
