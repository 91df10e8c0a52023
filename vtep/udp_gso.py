"""UDP segmentation offload: which packets are sent as one, and how merged ones are split. No I/O.

The kernel segments a super-packet into datagrams of one size, of which the last may be shorter. All
get the same headers, with their own length and checksum (udp(7), UDP_SEGMENT; UDP_GRO is the
reverse). The UDP payload is segmented, so the VXLAN headers of the datagrams may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from vtep.constants import LARGEST_PACKET
from vtep.effects import Effect, ToUnderlay

MOST_SEGMENTS = 64  # the limit of the oldest kernels with UDP_SEGMENT
_UDP_LENGTH, _PORTS_LENGTH = 8, 4
_IPV4_LENGTH, _IPV6_LENGTH = 20, 40


class PacketRun:
    """The rule for batching: packets of one flow and destination, all but the last of one size."""

    def __init__(self) -> None:
        """Begin with no packets."""
        self._first: bytearray | None = None
        self._size = self._headers = 0  # bytes
        self._places = self._room = 0  # packets and bytes that may still be added

    def may_begin(self, effect: Effect) -> TypeGuard[ToUnderlay]:
        """Whether a run could begin with this effect."""
        return isinstance(effect, ToUnderlay)

    def take(self, effect: ToUnderlay) -> bool:
        """Add a packet if it may follow the ones taken."""
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
        self._places = self._places - 1 if size == self._size else 0  # a shorter one must be last
        return True

    def _begin(self, packet: bytearray, size: int) -> None:
        ip = _IPV4_LENGTH if packet[0] >> 4 == 4 else _IPV6_LENGTH
        self._headers = ip + _UDP_LENGTH
        # What must be equal: lengths and checksums lie before and after it
        self._same = slice(4 if ip == _IPV4_LENGTH else 6, ip + _PORTS_LENGTH)
        self._first, self._size = packet, size
        self._places, self._room = MOST_SEGMENTS - 1, LARGEST_PACKET - size

    def _alike(self, packet: bytearray, first: bytearray) -> bool:
        """Whether addresses, ports, TTL and traffic class are the same."""
        return packet[self._same] == first[self._same] and packet[:2] == first[:2]

    def end(self) -> None:
        """Forget all packets."""
        self._first = None


def split_datagrams(payload: memoryview, size: int) -> Iterator[bytes]:
    """The datagrams that the kernel merged. size: of each but the last, in bytes."""
    if not 0 < size < len(payload):
        yield bytes(payload)
        return
    for at in range(0, len(payload), size):
        yield bytes(payload[at : at + size])
