"""The layouts of the maps of `vxlan.bpf.c`; a unit test compares this file with maps.h.

All numbers are in the machine's byte order, except those that are sent on the wire: addresses and
the UDP port.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from ipaddress import ip_address

TICK_NS = 1 << 24  # unit of "seen", about 17 ms; a power of two, so the program only shifts
SLOTS = 4  # in a bucket
SLOT_WORDS = 2  # key and value, 64 bits each
BUCKET_LENGTH = SLOTS * SLOT_WORDS * 8

PERMANENT = 1  # flag of a slot
SUPPRESS, PEER = 1, 2  # flags of a segment
ON_LINK = 1  # flag of a remote
INHERIT = 0x100  # value of DSCP: use the inner packet's
OF_VNI = 0xFFFF  # segment of a key that is a VNI, not a MAC

# multipliers, bucket_shift, paused, ageing, underlay, underlay_tap, largest_frame, local, port,
# first_source_port, source_ports, ttl, dscp, dont_fragment, ports
CONFIG = struct.Struct("=QQIIIIII16s2sHIHHII")
PAUSED = struct.Struct("=I")
PAUSED_AT = 20
REMOTE = struct.Struct("=16sI4x")  # address, flags
# vni, port, largest_frame, vlan, flags; then the counters
SEGMENT = struct.Struct("=IIIHH")
SEGMENT_LENGTH = 48
SEGMENT_COUNTERS = struct.Struct("=QQQQ")  # encapsulated packets, bytes; decapsulated the same
SEGMENT_COUNTERS_AT = 16
PORT = struct.Struct("=III4x")  # interface, first_vlan, tap
VLANS_A_PORT = 4096
_MOST_PORT_SLOTS = 1 << 16


def address(text: str) -> bytes:
    """An address in the form of the maps: 16 bytes, of which IPv4 uses the first four."""
    return ip_address(text).packed.ljust(16, b"\0")


def ticks(time_s: float) -> int:
    """A time of the monotonic clock in ticks, modulo 2^32."""
    return int(time_s * 1e9) // TICK_NS & 0xFFFFFFFF


def seconds(tick: int, near_s: float) -> float:
    """The time of a tick. Ticks wrap after about two years; of all possible times it is the one
    nearest to `near_s`."""
    behind = (ticks(near_s) - tick + 0x80000000 & 0xFFFFFFFF) - 0x80000000
    return near_s - behind * TICK_NS / 1e9


def key(mac: bytes, segment: int) -> int:
    """The key of a row: never 0, since no MAC in a table is all zeros."""
    return int.from_bytes(mac, "little") | segment << 48


def key_of_vni(vni: int) -> int:
    """The key of the row that has the segment of a VNI."""
    return vni | OF_VNI << 48


def value(seen: int, remote: int, flags: int) -> int:
    """The value of a row: tick of the last frame, number of the remote (0: local), flags."""
    return seen | remote << 32 | flags << 48


def value_parts(packed: int) -> tuple[int, int, int]:
    """(seen, remote, flags) of a value."""
    return packed & 0xFFFFFFFF, packed >> 32 & 0xFFFF, packed >> 48


def slots_of_ports(interfaces: Sequence[int]) -> int:
    """The smallest power of two modulo which all interface indices differ.

    Raises OSError if that needs more than 65,536 slots.
    """
    slots = 1
    while len({index % slots for index in interfaces}) < len(interfaces):
        slots *= 2
        if slots > _MOST_PORT_SLOTS:
            raise OSError(errno.ENOSPC, "the indices of the ports' interfaces are too far apart")
    return slots
