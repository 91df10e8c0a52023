"""Read the outer headers of a packet that the fast path left to the agent. Pure.

The kernel program has checked lengths, header checksum, protocol, port and that it is no fragment
(`is_vxlan` in vxlan.bpf.c); what is left is the UDP checksum (RFC 7348 section 5: if it is not
zero it must be right), and whom the packet is for.
"""

from __future__ import annotations

import socket
from collections.abc import Container

from vtep.drops import DropReason
from vtep.underlay.base import Datagram
from vtep.wire import ones_sum

_IP, _UDP, _PAYLOAD = 14, 34, 42
_PROTOCOL_UDP = 17


def datagram(packet: bytes, joined: Container[str]) -> Datagram | DropReason | None:
    """The datagram in an Ethernet frame; None where it is for a group that was not joined."""
    to_group = 0xE0 <= packet[_IP + 16] <= 0xEF
    if to_group and socket.inet_ntoa(packet[_IP + 16 : _IP + 20]) not in joined:
        return None
    if packet[_UDP + 6 : _UDP + 8] != b"\0\0" and not _checksum_right(packet):
        return DropReason.UDP_CHECKSUM
    sender = socket.inet_ntoa(packet[_IP + 12 : _IP + 16])
    sport = int.from_bytes(packet[_UDP : _UDP + 2], "big")
    return sender, sport, to_group, packet[_IP + 1], packet[_PAYLOAD:]


def _checksum_right(packet: bytes) -> bool:
    """RFC 768: the sum over pseudo-header and datagram is all ones."""
    pseudo = _PROTOCOL_UDP + len(packet) - _UDP
    return (pseudo + ones_sum(packet[_IP + 12 :])) % 0xFFFF == 0
