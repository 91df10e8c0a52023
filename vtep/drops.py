"""Why frames and packets are dropped, each reason with a name, and the counters of one VNI.

The numbers are stable: a kernel data path counts under the same ones.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class DropReason(IntEnum):
    """Every way a frame or packet can end without being delivered."""

    # from a port
    RUNT_FRAME = 0  # shorter than an Ethernet header
    UNKNOWN_VLAN = 1  # no segment has this VLAN of this port
    LOCAL_DESTINATION = 2  # the destination is behind the port the frame came from
    STATIC_CONFLICT = 3  # the source contradicts a static row; both directions
    TOO_BIG = 4  # does not fit the underlay (never fragmented, RFC 7348 section 4.3), or the port
    UNSUPPORTED_OFFLOAD = 5  # a super-frame of a kind that cannot be finished
    # to the underlay
    UNDERLAY_BUSY = 6  # the kernel's queue was full
    UNDERLAY_UNREACHABLE = 7  # no route, no neighbour, interface down
    # from the underlay
    SHORT_HEADER = 8  # shorter than a VXLAN header
    VNI_FLAG_CLEAR = 9  # I flag is 0 (section 5)
    RESERVED_BITS = 10  # reserved bits set, in strict mode only
    OWN_ADDRESS = 11  # sent by this VTEP itself: an echo of its own multicast
    UNKNOWN_VNI = 12  # no such segment here
    SHORT_INNER = 13  # inner frame shorter than an Ethernet header
    INNER_TAG = 14  # inner 802.1Q tag where the segment carries none (section 6.1)
    # to a port
    PORT_BUSY = 15
    PORT_DOWN = 16
    # lost before they were read
    UNDERLAY_OVERRUN = 17  # receive queue of the underlay socket was full
    PORT_OVERRUN = 18  # receive queue of a port was full
    # from the underlay, further checks
    UNTRUSTED_REMOTE = 19  # not on the list of trusted remotes (section 7)
    ECN_NOT_ECT = 20  # congestion was met, and the inner packet cannot say so (RFC 6040)
    UDP_CHECKSUM = 21  # not zero, and wrong (section 5); else the kernel verifies it

    @property
    def label(self) -> str:
        """The name as it stands in tables and JSON."""
        return self.name.lower()


class Counters:
    """Packets and inner bytes of one VNI, and its drops."""

    __slots__ = (
        "decapsulated",
        "drops",
        "encapsulated",
        "fast_path",
        "moves",
        "not_learned",
        "reserved_bits_ignored",
    )

    def __init__(self) -> None:
        # [unicast packets, unicast bytes, flood packets, flood bytes]
        self.encapsulated = [0, 0, 0, 0]
        self.decapsulated = [0, 0, 0, 0]
        self.drops = [0] * len(DropReason)
        self.moves = 0  # MACs that changed their place
        self.not_learned = 0  # forwarded, but the table was full
        self.reserved_bits_ignored = 0  # accepted, as section 5 demands
        self.fast_path = 0  # of the packets above, those that never left the kernel

    def as_json(self) -> dict[str, Any]:
        """In the shape of `vxlab stats --json`."""
        return {
            "encapsulated": _ways(self.encapsulated),
            "decapsulated": _ways(self.decapsulated),
            "moves": self.moves,
            "not_learned": self.not_learned,
            "reserved_bits_ignored": self.reserved_bits_ignored,
            "fast_path": self.fast_path,
            "drops": {reason.label: self.drops[reason] for reason in DropReason},
        }


UNICAST, FLOOD = 0, 2  # where a way's packets and bytes stand in Counters


def count(way: list[int], kind: int, length: int, times: int = 1) -> None:
    """Count one frame of `length` bytes under UNICAST or FLOOD; times -1 takes it back."""
    way[kind] += times
    way[kind + 1] += times * length


def _ways(way: list[int]) -> dict[str, dict[str, int]]:
    return {
        name: {"packets": way[kind], "bytes": way[kind + 1]}
        for name, kind in (("unicast", UNICAST), ("flood", FLOOD))
    }
