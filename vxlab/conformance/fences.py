"""Fences: frames that any VTEP forwards. They tell when an exchange is complete.

A fence follows what a row sends. Once it has come through, what has not come out by then will not
come out. So no row has to wait for a time to pass.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from vxlab.conformance import frames
from vxlab.conformance.packets import PacketMaker

VM_MAC, REMOTE_MAC = "02:4c:fe:00:00:0a", "02:57:fe:00:00:0b"  # sources of the fences
_MARK = b"\x88\xb5vxlab fence "  # the experimental ethertype, and the first bytes of the payload


@dataclass(frozen=True)
class Fence:
    """One fence: a frame for the VM port, or a packet for the underlay port."""

    number: int
    data: bytes
    from_vm: bool
    copies: int  # how many packets or frames must come out


class Fences:
    """Makes fences, recognises them, and counts what came out of each."""

    def __init__(self, packets: PacketMaker, flood_copies: int) -> None:
        """flood_copies: how many packets one flooded frame becomes."""
        self._packets = packets
        self._flood_copies = flood_copies
        self._numbers = itertools.count(1)
        self._returned: dict[int, int] = {}  # number -> copies that came out

    def into_tunnel(self) -> Fence:
        """A broadcast from the VM port."""
        number, frame = self._frame(VM_MAC)
        tagged = frames.tagged(frame, self._packets.setup.segments[0].vlan)
        return Fence(number, tagged, True, self._flood_copies)

    def out_of_tunnel(self) -> Fence:
        """A broadcast from a remote VTEP."""
        number, frame = self._frame(REMOTE_MAC)
        return Fence(number, self._packets.vxlan(frame), False, 1)

    def _frame(self, source: str) -> tuple[int, bytes]:
        number = next(self._numbers)
        body = _MARK[2:] + number.to_bytes(4, "big")
        return number, frames.frame(source, frames.BROADCAST, body)

    def recognise(self, data: bytes, source: str) -> bool:
        """Whether data is a fence from a source; if so, count it."""
        before, mark, rest = data.partition(_MARK)
        if mark and bytes.fromhex(source.replace(":", "")) in before:
            number = int.from_bytes(rest[:4], "big")
            self._returned[number] = self._returned.get(number, 0) + 1
        return bool(mark)

    def through(self, fence: Fence) -> bool:
        """Whether all copies of a fence have come out."""
        return self._returned.get(fence.number, 0) >= fence.copies
