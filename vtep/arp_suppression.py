"""ARP suppression: answer address requests in place of a remote VM, instead of flooding. No I/O.

It is an option of a segment, and covers ARP (RFC 826) and IPv6 neighbour solicitations (RFC 4861).
The VTEP learns from passing ARP and neighbour messages which IP address has which MAC. The core
answers only if the segment's table, which ages, still has that MAC behind a remote.
"""

from __future__ import annotations

import struct

from vtep.ethernet import BROADCAST, network_offset
from vtep.wire import ones_sum

_ARP = b"\x08\x06"
_IPV6 = b"\x86\xdd"
_ARP_HEAD = bytes.fromhex("000108000604")
_REQUEST, _REPLY = b"\x00\x01", b"\x00\x02"
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_TARGET_LINK = 2  # option of RFC 4861 section 4.6.1
_NO_ADDRESS = bytes(4)
_SOLICITED_OVERRIDE = 0x60000000


class NeighbourTable:
    """Which IP address has which MAC, in one segment."""

    def __init__(self, limit: int) -> None:
        """limit: the number of addresses stored; beyond it no new ones are added."""
        self._limit = limit
        self._macs: dict[bytes, bytes] = {}

    def learn(self, frame: bytes) -> None:
        """Learn the sender's address from an ARP or neighbour message."""
        sender = _arp_sender(frame) or _nd_sender(frame)
        if sender is not None and (sender[0] in self._macs or len(self._macs) < self._limit):
            self._macs[sender[0]] = sender[1]

    def __len__(self) -> int:
        """The number of addresses stored."""
        return len(self._macs)

    def lookup_target(self, frame: bytes) -> bytes | None:
        """The MAC of the address that a frame requests; None if unknown, or for other frames."""
        target = _arp_target(frame) or _nd_target(frame)
        return None if target is None else self._macs.get(target)


def reply(frame: bytes, mac: bytes) -> bytes:
    """The reply to a request, as the station with that MAC would send it."""
    at = network_offset(frame)
    head = frame[6:12] + mac + frame[12:at]
    if frame[at - 2 : at] == _ARP:
        arp = frame[at:]
        return head + _ARP_HEAD + _REPLY + mac + arp[24:28] + arp[8:14] + arp[14:18]
    return head + _advertisement(frame[at:], mac)


def _arp(frame: bytes) -> bytes | None:
    at = network_offset(frame)
    arp = frame[at : at + 28]
    known = frame[at - 2 : at] == _ARP and len(arp) == 28 and arp[:6] == _ARP_HEAD
    return arp if known else None


def _arp_sender(frame: bytes) -> tuple[bytes, bytes] | None:
    arp = _arp(frame)
    if arp is None or arp[14:18] == _NO_ADDRESS or arp[8:14] != frame[6:12]:
        return None
    return arp[14:18], arp[8:14]


def _arp_target(frame: bytes) -> bytes | None:
    arp = _arp(frame)
    if arp is None or arp[6:8] != _REQUEST or frame[:6] != BROADCAST:
        return None
    if arp[14:18] in (_NO_ADDRESS, arp[24:28]):
        return None  # RFC 5227: probes and announcements must reach all stations
    return arp[24:28]


def _icmpv6(frame: bytes, kind: int) -> bytes | None:
    """The IPv6 packet of a frame, if it is a neighbour message of this kind."""
    at = network_offset(frame)
    packet = frame[at:]
    known = frame[at - 2 : at] == _IPV6 and len(packet) >= 64 and packet[6] == _ICMPV6
    return packet if known and packet[40] == kind and packet[7] == 255 else None


def _nd_sender(frame: bytes) -> tuple[bytes, bytes] | None:
    packet = _icmpv6(frame, _ADVERTISEMENT)
    if packet is not None:
        return packet[48:64], frame[6:12]
    packet = _icmpv6(frame, _SOLICITATION)
    if packet is None or not any(packet[8:24]):
        return None
    return packet[8:24], frame[6:12]


def _nd_target(frame: bytes) -> bytes | None:
    packet = _icmpv6(frame, _SOLICITATION)
    if packet is None or not any(packet[8:24]) or not frame[0] & 1:
        return None  # duplicate address detection and unicast confirmation are forwarded
    return packet[48:64]


def _advertisement(packet: bytes, mac: bytes) -> bytes:
    source, target = packet[8:24], packet[48:64]
    option = bytes([_TARGET_LINK, 1]) + mac
    body = bytearray(
        struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, _SOLICITED_OVERRIDE) + target + option
    )
    total = ones_sum(target + source) + len(body) + _ICMPV6 + ones_sum(body)
    struct.pack_into("!H", body, 2, (0xFFFF - (total % 0xFFFF or 0xFFFF)) or 0xFFFF)
    return struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, 255) + target + source + bytes(body)
