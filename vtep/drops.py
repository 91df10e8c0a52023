"""The named reasons why frames and packets are dropped, and the counters of one VNI."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class DropReason(IntEnum):
    """Every reason why a frame or packet is dropped; docs/reference/events.md explains them.

    Numbers are never reused.
    """

    # from a port
    RUNT_FRAME = 0  # shorter than an Ethernet header
    UNKNOWN_VLAN = 1  # no segment has this VLAN of this port
    LOCAL_DESTINATION = 2  # the destination is behind the port the frame came from
    STATIC_CONFLICT = 3  # the source contradicts a static row; both directions
    TOO_BIG = 4  # exceeds the MTU of the underlay (RFC 7348 section 4.3) or of the port
    UNSUPPORTED_OFFLOAD = 5  # a GSO super-frame of a kind that cannot be segmented
    # to the underlay
    UNDERLAY_BUSY = 6  # the kernel's queue was full
    UNDERLAY_UNREACHABLE = 7  # no route, no neighbour, interface down
    # from the underlay
    SHORT_HEADER = 8  # shorter than a VXLAN header
    VNI_FLAG_CLEAR = 9  # I flag is 0 (section 5)
    RESERVED_BITS = 10  # reserved bits set, in strict mode only
    OWN_ADDRESS = 11  # sent by this VTEP itself: its own multicast, looped back
    UNKNOWN_VNI = 12  # no such segment here
    SHORT_INNER = 13  # inner frame shorter than an Ethernet header
    INNER_TAG = 14  # inner 802.1Q tag, and the segment does not carry tags (section 6.1)
    # to a port
    PORT_BUSY = 15
    PORT_DOWN = 16
    # lost before the agent read them
    UNDERLAY_OVERRUN = 17  # receive queue of the underlay socket was full
    PORT_OVERRUN = 18  # receive queue of a port was full
    # from the underlay, further checks
    UNTRUSTED_REMOTE = 19  # not on the list of trusted remotes (section 7)
    ECN_NOT_ECT = 20  # congestion marked, but the inner packet is not ECN-capable (RFC 6040)
    UDP_CHECKSUM = 21  # neither zero nor right (section 5); for the eBPF data path only

    @property
    def label(self) -> str:
        """The name in tables and JSON."""
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
        self.moves = 0  # times that a MAC changed its place
        self.not_learned = 0  # forwarded although the table was full
        self.reserved_bits_ignored = 0  # accepted, as section 5 requires
        self.fast_path = 0  # packets counted above that the eBPF data path forwarded

    def as_json(self) -> dict[str, Any]:
        """As JSON, in the shape of `vxlab stats --json`."""
        return {
            "encapsulated": _by_kind(self.encapsulated),
            "decapsulated": _by_kind(self.decapsulated),
            "moves": self.moves,
            "not_learned": self.not_learned,
            "reserved_bits_ignored": self.reserved_bits_ignored,
            "fast_path": self.fast_path,
            "drops": {reason.label: self.drops[reason] for reason in DropReason},
        }


UNICAST, FLOOD = 0, 2  # index of packets, followed by bytes, in a direction's counters


def count(direction: list[int], kind: int, length: int, times: int = 1) -> None:
    """Count one frame of `length` bytes under UNICAST or FLOOD; times -1 undoes that."""
    direction[kind] += times
    direction[kind + 1] += times * length


def _by_kind(direction: list[int]) -> dict[str, dict[str, int]]:
    return {
        name: {"packets": direction[kind], "bytes": direction[kind + 1]}
        for name, kind in (("unicast", UNICAST), ("flood", FLOOD))
    }
