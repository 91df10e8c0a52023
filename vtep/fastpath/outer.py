"""Read the outer headers of a packet that the fast path left to the agent. No I/O.

The eBPF program has checked the lengths, the header checksum, the protocol, the port, and that the
packet is no fragment (`is_vxlan` in vxlan.bpf.c). This module checks the UDP checksum (RFC 7348
section 5: it must be correct if it is not zero) and whether a group was joined. A packet too short
for its headers is dropped; the program does not send such packets to the agent.
"""

from __future__ import annotations

import socket
from collections.abc import Container

from vtep.drops import DropReason
from vtep.ethernet import HEADER_LENGTH
from vtep.underlay.base import Datagram
from vtep.wire import ones_sum

_VERSION_6 = 6
_IPV4_ADDRESSES, _IPV6_ADDRESSES = HEADER_LENGTH + 12, HEADER_LENGTH + 8
_UDP_LENGTH = 8
_SHORTEST = _IPV4_ADDRESSES + 8 + _UDP_LENGTH
_PROTOCOL_UDP = 17


def datagram(packet: bytes, joined: Container[str]) -> Datagram | DropReason | None:
    """The datagram in an Ethernet frame; None if it is for a group that was not joined."""
    if len(packet) < _SHORTEST:
        return DropReason.SHORT_HEADER
    if packet[HEADER_LENGTH] >> 4 == _VERSION_6:
        addresses, udp, family = _IPV6_ADDRESSES, _IPV6_ADDRESSES + 32, socket.AF_INET6
        octet = int.from_bytes(packet[HEADER_LENGTH : HEADER_LENGTH + 2], "big") >> 4 & 0xFF
    else:
        addresses, udp, family = _IPV4_ADDRESSES, _IPV4_ADDRESSES + 8, socket.AF_INET
        octet = packet[HEADER_LENGTH + 1]
    if len(packet) < udp + _UDP_LENGTH:
        return DropReason.SHORT_HEADER
    half = (addresses + udp) // 2
    to_group = packet[half] == 0xFF if family == socket.AF_INET6 else packet[half] >> 4 == 0xE
    if to_group and socket.inet_ntop(family, packet[half:udp]) not in joined:
        return None
    if packet[udp + 6 : udp + 8] != b"\0\0" and not _checksum_right(packet, addresses, udp):
        return DropReason.UDP_CHECKSUM
    sender = socket.inet_ntop(family, packet[addresses:half])
    sport = int.from_bytes(packet[udp : udp + 2], "big")
    return sender, sport, to_group, octet, packet[udp + _UDP_LENGTH :]


def _checksum_right(packet: bytes, addresses: int, udp: int) -> bool:
    """RFC 768, RFC 8200 section 8.1: the sum over pseudo-header and datagram is all ones."""
    pseudo = _PROTOCOL_UDP + len(packet) - udp
    return (pseudo + ones_sum(packet[addresses:])) % 0xFFFF == 0
