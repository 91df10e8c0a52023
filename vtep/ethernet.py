"""Read an Ethernet frame: addresses, tags, flow hash, and a summary in text.

All functions accept any bytes; a field that is missing is reported as absent.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache

HEADER_LENGTH = 14
ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
ETHERTYPE_VLAN, ETHERTYPE_SERVICE_VLAN = 0x8100, 0x88A8  # IEEE 802.1Q: C-tag, S-tag
BROADCAST = b"\xff" * 6
FLOW_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, 2^64 by the golden ratio
_WORD = 0xFFFFFFFFFFFFFFFF
_FLOWS_KEPT = 1024
_NO_ADDRESS = bytes(6)
_TAGS = (b"\x81\x00", b"\x88\xa8")
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
_ICMP = {0: "echo reply", 3: "unreachable", 8: "echo request"}
_ICMPV6 = {
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    143: "MLDv2 report",
}


def mac_text(mac: bytes) -> str:
    """A MAC as text."""
    return mac.hex(":")


def mac_bytes(text: str) -> bytes:
    """A MAC from text; ValueError if the text is not a MAC."""
    mac = bytes.fromhex(text.replace(":", ""))
    if len(mac) != 6 or mac_text(mac) != text.lower():
        raise ValueError(text)
    return mac


def is_group_address(mac: bytes) -> bool:
    """Whether a MAC is multicast or broadcast."""
    return bool(mac) and mac[0] & 1 == 1


def flood_reason(frame: bytes) -> str:
    """Why a frame without a row for its destination is flooded: the kind of its destination."""
    if not is_group_address(frame[:6]):
        return "unknown_unicast"
    return "broadcast" if frame[:6] == BROADCAST else "multicast"


def is_learnable(mac: bytes) -> bool:
    """Whether a source MAC may be learned: neither a group address nor all zeros."""
    return not mac[0] & 1 and mac != _NO_ADDRESS


def is_tagged(frame: bytes) -> bool:
    """Whether a frame has an 802.1Q tag."""
    return frame[12:14] in _TAGS


def network_offset(frame: bytes) -> int:
    """Where the network header begins, after any 802.1Q tags."""
    start = 12
    while frame[start : start + 2] in _TAGS:
        start += 4
    return start + 2


def without_tags(frame: bytes) -> bytes:
    """The frame without the 802.1Q tags that follow its addresses."""
    start = 12
    while frame[start : start + 2] in _TAGS:
        start += 4
    return frame if start == 12 else frame[:12] + frame[start:]


def tag(vlan: int) -> bytes:
    """The four bytes of an 802.1Q tag with priority 0."""
    return struct.pack("!HH", ETHERTYPE_VLAN, vlan)


def flow_hash(frame: bytes) -> int:
    """The same number for all frames of a flow.

    It is a hash of addresses, protocol and ports of IP frames, and of the MACs of others. Fragments
    are hashed without ports, because only the first has them; tags are skipped.
    """
    ethertype = frame[12:14]
    if ethertype == b"\x08\x00" and len(frame) >= 34:
        ports = b""
        if frame[23] in (6, 17) and not (frame[20] & 0x3F or frame[21]):
            start = 14 + (frame[14] & 0x0F) * 4
            ports = frame[start : start + 4]
        return _mixed(frame[23], ports, frame[26:34])
    if ethertype == b"\x86\xdd" and len(frame) >= 54:
        ports = frame[54:58] if frame[20] in (6, 17) else b""
        return _mixed(frame[20], ports, frame[22:54])
    if ethertype in _TAGS:
        return flow_hash(without_tags(frame))
    return _mixed(0, b"", frame[:12])


@lru_cache(_FLOWS_KEPT)  # all packets of a flow have the same hash
def _mixed(protocol: int, ports: bytes, addresses: bytes) -> int:
    """32 bits of multiplicative hashing: a few steps without a table, so that eBPF can do it too.

    `flow_hash` in fastpath/frame.h must give the same result. Words of eight bytes are read
    little-endian.
    """
    words = (int.from_bytes(addresses[at : at + 8], "little") for at in range(0, len(addresses), 8))
    mixed = 0
    for word in (protocol | int.from_bytes(ports, "little") << 8, *words):
        mixed = (mixed ^ word) * FLOW_MULTIPLIER & _WORD
        mixed ^= mixed >> 32
    return mixed & 0xFFFFFFFF


def ethertype_of(frame: bytes) -> int:
    """The type field after any tags; 0 if the frame ends before it."""
    plain = without_tags(frame)
    return int.from_bytes(plain[12:14], "big") if len(plain) >= HEADER_LENGTH else 0


def summary(frame: bytes) -> str:
    """A short description of a frame."""
    plain = without_tags(frame)
    payload = plain[HEADER_LENGTH:]
    ethertype = ethertype_of(plain)
    if ethertype == ETHERTYPE_ARP and len(payload) >= 28:
        return _arp(payload)
    if ethertype == ETHERTYPE_IPV4 and len(payload) >= 20:
        ends = _ends(socket.AF_INET, payload[12:16], payload[16:20])
        header = (payload[0] & 0x0F) * 4
        fragment = int.from_bytes(payload[6:8], "big") & 0x1FFF
        return _ip(ends, payload[9], b"" if fragment else payload[header:])
    if ethertype == ETHERTYPE_IPV6 and len(payload) >= 40:
        ends = _ends(socket.AF_INET6, payload[8:24], payload[24:40])
        return _ip(ends, payload[6], payload[40:])
    return f"ethertype {ethertype:#06x}"


def _arp(payload: bytes) -> str:
    sender = socket.inet_ntop(socket.AF_INET, payload[14:18])
    target = socket.inet_ntop(socket.AF_INET, payload[24:28])
    if payload[6:8] == b"\x00\x01":
        return f"ARP who-has {target} tell {sender}"
    return f"ARP {sender} is-at {mac_text(payload[8:14])}"


def _ends(family: int, source: bytes, destination: bytes) -> tuple[str, str]:
    return socket.inet_ntop(family, source), socket.inet_ntop(family, destination)


def _ip(ends: tuple[str, str], protocol: int, transport: bytes) -> str:
    source, destination = ends
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    if protocol in (6, 17) and len(transport) >= 4:
        sport, dport = struct.unpack_from("!HH", transport)
        return f"{name} {source}:{sport} -> {destination}:{dport}"
    kinds = {1: _ICMP, 58: _ICMPV6}.get(protocol, {})
    kind = f" {kinds.get(transport[0], f'type {transport[0]}')}" if kinds and transport else ""
    return f"{name}{kind} {source} -> {destination}"
