"""Which packets may leave as one, and one that came as many: UDP segmentation. Pure.

The kernel cuts a super-packet into datagrams of one size, the last of which may be shorter, and
gives each the same headers, with length and checksum of its own (udp(7), UDP_SEGMENT; UDP_GRO puts
them together again). What is cut is the payload of UDP, so the VXLAN headers in it may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from vtep.constants import LARGEST_PACKET
from vtep.effects import Effect, ToUnderlay

MOST_SEGMENTS = 64  # what any kernel that can cut takes
_UDP_LENGTH, _PORTS_LENGTH = 8, 4
_IPV4_LENGTH, _IPV6_LENGTH = 20, 40


class PacketRun:
    """Packets to one destination and of one flow, of one size but the last."""

    def __init__(self) -> None:
        """Begin with none."""
        self._first: bytearray | None = None
        self._size = self._headers = 0  # bytes
        self._places = self._room = 0  # packets and bytes that may still come

    def may_begin(self, effect: Effect) -> TypeGuard[ToUnderlay]:
        """Whether a run could begin with it."""
        return isinstance(effect, ToUnderlay)

    def take(self, effect: ToUnderlay) -> bool:
        """Add it, if it may come behind what is here."""
        packet, first = effect.packet, self._first
        size = len(packet)
        if first is None:
            self._begin(packet, size)
            return True
        if size > self._size or not self._places or not self._alike(packet, first):
            return False
        room = self._room - (size - self._headers)
        if room < 0:
            return False
        self._room = room
        self._places = self._places - 1 if size == self._size else 0  # a shorter one ends it
        return True

    def _begin(self, packet: bytearray, size: int) -> None:
        ip = _IPV4_LENGTH if packet[0] >> 4 == 4 else _IPV6_LENGTH
        self._headers = ip + _UDP_LENGTH
        # The same but for lengths and checksums, which lie before and after
        self._same = slice(4 if ip == _IPV4_LENGTH else 6, ip + _PORTS_LENGTH)
        self._first, self._size = packet, size
        self._places, self._room = MOST_SEGMENTS - 1, LARGEST_PACKET - size

    def _alike(self, packet: bytearray, first: bytearray) -> bool:
        """Whether addresses, ports, TTL and traffic class are the same."""
        return packet[self._same] == first[self._same] and packet[:2] == first[:2]

    def end(self) -> None:
        """Begin anew, with none."""
        self._first = None


def split_datagrams(payload: memoryview, size: int) -> Iterator[bytes]:
    """The datagrams of which a super-packet came; size: of each but the last, by the kernel."""
    if not 0 < size < len(payload):
        yield bytes(payload)
        return
    for at in range(0, len(payload), size):
        yield bytes(payload[at : at + size])
