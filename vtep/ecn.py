"""Traffic class and congestion marks through a tunnel (RFC 6040, RFC 2983). No I/O.

Encapsulation uses normal mode: the inner ECN field, including CE, is copied to the outer header.
Decapsulation follows every cell of the table of RFC 6040 section 4.2, and updates the checksum of a
changed inner IPv4 header. Frames without IP have no mark and are not changed.
"""

from __future__ import annotations

from vtep.ethernet import network_offset

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3
_ECN = 0x03
_DSCP = 0xFC

# (inner, outer) -> the field that is delivered; all other pairs keep the inner field
_CHANGED = {(ECT_0, ECT_1): ECT_1, (ECT_0, CE): CE, (ECT_1, CE): CE}


def traffic_class(frame: bytes) -> int | None:
    """The type of service or traffic class octet of an IP frame; None for others."""
    at, version = _ip(frame)
    if version == 4:
        return frame[at + 1]
    if version == 6:
        return (frame[at] & 0x0F) << 4 | frame[at + 1] >> 4
    return None


def hop_limit(frame: bytes) -> int | None:
    """The TTL or hop limit of an IP frame; None for others."""
    at, version = _ip(frame)
    return {4: lambda: frame[at + 8], 6: lambda: frame[at + 7]}.get(version, lambda: None)()


def outer_class(inner: int | None, dscp: int | None) -> int:
    """The outer octet: the inner ECN field with a fixed DSCP, or with the inner DSCP for None."""
    if inner is None:
        return dscp or 0
    return (inner & _DSCP if dscp is None else dscp) | inner & _ECN


def decapsulated(frame: bytes, outer: int) -> bytes | None:
    """The frame with its mark after the tunnel; None if it must be dropped."""
    mark = outer & _ECN
    if mark == NOT_ECT:
        return frame
    inner = traffic_class(frame)
    if inner is None:
        return frame
    if (inner & _ECN, mark) == (NOT_ECT, CE):
        return None
    after = _CHANGED.get((inner & _ECN, mark))
    return frame if after is None else _marked(frame, after)


def _ip(frame: bytes) -> tuple[int, int]:
    """Where the IP header begins, and its version; version 0 if there is none."""
    at = network_offset(frame)
    ethertype = frame[at - 2 : at]
    if ethertype == b"\x08\x00" and len(frame) >= at + 20:
        return at, 4
    if ethertype == b"\x86\xdd" and len(frame) >= at + 40:
        return at, 6
    return at, 0


def _marked(frame: bytes, mark: int) -> bytes:
    at, version = _ip(frame)
    changed = bytearray(frame)
    if version == 6:
        changed[at + 1] = changed[at + 1] & 0xCF | mark << 4
        return bytes(changed)
    before = int.from_bytes(frame[at : at + 2], "big")
    changed[at + 1] = frame[at + 1] & _DSCP | mark
    after = int.from_bytes(changed[at : at + 2], "big")
    # RFC 1624: update the checksum by the difference of the changed word
    total = (~int.from_bytes(frame[at + 10 : at + 12], "big") & 0xFFFF) + (~before & 0xFFFF) + after
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    changed[at + 10 : at + 12] = (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(changed)
