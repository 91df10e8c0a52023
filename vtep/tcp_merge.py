"""Merge TCP segments of one flow into a super-frame before they are written to a port. No I/O.

A super-frame (TSO) that a VM sent arrives from the tunnel as many frames. Merged again, they pass
the port and the receiving VM's kernel once instead of many times. Frames are merged only if the
kernel would segment the result into the same bytes: consecutive segments with equal headers, of
full size except the last. Their checksums must be right, because nobody verifies them afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeGuard

from vtep.constants import LARGEST_PACKET
from vtep.effects import Effect, ToPort
from vtep.vnet_hdr import NEEDS_CHECKSUM, TCPV4, TCPV6, VnetHeader
from vtep.wire import ones_sum

_SHORT = struct.Struct("!H")
_LONG = struct.Struct("!I")
_NETWORK = 14  # tagged frames are never merged
_IPV4_TRANSPORT, _IPV6_TRANSPORT = 34, 54
_TCP = 6
_ACK, _PSH = 0x10, 0x08


def may_begin(frame: bytes) -> bool:
    """Whether a run could begin with a frame: a cheap check that is true for all TCP frames."""
    return len(frame) >= _IPV4_TRANSPORT + 20 and _TCP in (frame[23], frame[20])


def follows(before: bytes, frame: bytes) -> bool:
    """Whether, by their headers, `frame` may follow `before` in one super-frame."""
    at = _transport(before)
    if at is None or before[:16] != frame[:16] or len(frame) > len(before):
        return False
    payload = at + (before[at + 12] >> 4) * 4
    if not at + 20 <= payload < len(frame):
        return False
    if before[at + 13] != _ACK or frame[at + 13] & ~_PSH != _ACK:
        return False  # PSH ends a super-frame; segments with other flags are never merged
    if before[at + 8 : at + 13] != frame[at + 8 : at + 13]:
        return False
    if before[at + 14 : at + 16] != frame[at + 14 : at + 16]:
        return False
    if before[at + 18 : payload] != frame[at + 18 : payload]:
        return False
    sequence = _LONG.unpack_from(before, at + 4)[0] + len(before) - payload
    if sequence & 0xFFFFFFFF != _LONG.unpack_from(frame, at + 4)[0]:
        return False
    return _same_network(before, frame, at)


def _transport(frame: bytes) -> int | None:
    """Where TCP begins in an untagged frame without IP options, padding or fragments."""
    if len(frame) < _IPV4_TRANSPORT + 20:
        return None
    if frame[12:15] == b"\x08\x00\x45" and frame[23] == _TCP and not frame[20] & 0xBF | frame[21]:
        whole = _SHORT.unpack_from(frame, 16)[0] + _NETWORK == len(frame)
        return _IPV4_TRANSPORT if whole else None
    if frame[12:14] != b"\x86\xdd" or len(frame) < _IPV6_TRANSPORT + 20:
        return None
    if frame[14] >> 4 != 6 or frame[20] != _TCP:
        return None
    whole = _SHORT.unpack_from(frame, 18)[0] + _IPV6_TRANSPORT == len(frame)
    return _IPV6_TRANSPORT if whole else None


def _same_network(before: bytes, frame: bytes, at: int) -> bool:
    """Whether IP header and ports are those of the next segment of a super-frame."""
    if at == _IPV6_TRANSPORT:
        whole = _SHORT.unpack_from(frame, 18)[0] + at == len(frame)
        return whole and before[16:18] == frame[16:18] and before[20:58] == frame[20:58]
    if _SHORT.unpack_from(frame, 16)[0] + _NETWORK != len(frame):
        return False
    number = _SHORT.unpack_from(before, 18)[0] + 1
    if number & 0xFFFF != _SHORT.unpack_from(frame, 18)[0]:
        return False
    return before[20:24] == frame[20:24] and before[26:38] == frame[26:38]


class TcpRun:
    """Frames that may be merged, in order."""

    def __init__(self) -> None:
        """Begin with no frames."""
        self._frames: list[bytes] = []
        self._length = 0

    def take(self, frame: bytes) -> bool:
        """Add a frame if it may follow the ones taken."""
        if self._frames and not self._fits(frame):
            return False
        self._frames.append(frame)
        self._length += len(frame)
        return True

    def _fits(self, frame: bytes) -> bool:
        last = self._frames[-1]
        if len(last) != len(self._frames[0]) or self._length + len(frame) > LARGEST_PACKET:
            return False
        return follows(last, frame)

    def end(self) -> None:
        """Forget all frames."""
        self._frames, self._length = [], 0


class PortRun:
    """The rule for batching: effects for one port and VLAN whose frames may be merged."""

    def __init__(self) -> None:
        """Begin with no frames."""
        self._run = TcpRun()
        self._first: ToPort | None = None

    def may_begin(self, effect: Effect) -> TypeGuard[ToPort]:
        """Whether a run could begin with this effect."""
        return isinstance(effect, ToPort) and may_begin(effect.frame)

    def take(self, effect: ToPort) -> bool:
        """Add a frame if it may follow the ones taken."""
        first = self._first
        if first is None:
            self._first = effect
        elif effect.port != first.port or effect.vlan != first.vlan:
            return False
        return self._run.take(effect.frame)

    def end(self) -> None:
        """Forget all frames."""
        self._first = None
        self._run.end()


def merge(frames: Sequence[bytes]) -> tuple[VnetHeader, bytes] | None:
    """One super-frame of the two or more frames of a run; None if one has a wrong checksum."""
    first = frames[0]
    at = _transport(first)
    if at is None or not all(_is_right(frame, at) for frame in frames):
        return None
    payload = at + (first[at + 12] >> 4) * 4
    whole = bytearray().join([first, *(memoryview(frame)[payload:] for frame in frames[1:])])
    whole[at + 13] = frames[-1][at + 13]
    _set_lengths(whole, at)
    kind = TCPV4 if at == _IPV4_TRANSPORT else TCPV6
    return VnetHeader(NEEDS_CHECKSUM, kind, payload, len(first) - payload, at, 16), bytes(whole)


def _is_right(frame: bytes, at: int) -> bool:
    """Whether the checksums are right, and have the form that segmentation would give them."""
    ipv4 = at == _IPV4_TRANSPORT
    if ipv4 and ones_sum(frame[_NETWORK:at]) != 0xFFFF:
        return False
    if frame[at + 16 : at + 18] in (b"\0\0", b"\xff\xff"):
        return False
    total = ones_sum(memoryview(frame)[26 if ipv4 else 22 :]) + _TCP + len(frame) - at
    return total % 0xFFFF == 0


def _set_lengths(whole: bytearray, at: int) -> None:
    """Set the lengths, and the pseudo-header's sum, from which the kernel computes the checksum."""
    length = len(whole) - at
    if at == _IPV4_TRANSPORT:
        _SHORT.pack_into(whole, 16, len(whole) - _NETWORK)
        _SHORT.pack_into(whole, 24, 0)
        _SHORT.pack_into(whole, 24, 0xFFFF - ones_sum(whole[_NETWORK:at]))
    else:
        _SHORT.pack_into(whole, 18, length)
    addresses = whole[26:34] if at == _IPV4_TRANSPORT else whole[22:54]
    _SHORT.pack_into(whole, at + 16, (ones_sum(addresses) + _TCP + length) % 0xFFFF)
