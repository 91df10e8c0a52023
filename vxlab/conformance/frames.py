"""Builds frames and packets for the VTEP under test, and parses those that it sends.

Headers are built by Scapy and never by the project's own VTEP: a mistake of the VTEP must not be
repeated here.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import IP, UDP, in4_chksum
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    in6_chksum,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

BROADCAST = "ff:ff:ff:ff:ff:ff"
TEST_TYPE = 0x88B5  # IEEE 802: local experimental ethertype
SHORTEST = 60  # bytes of an Ethernet frame, without its check sequence
UDP_LENGTH = VXLAN_LENGTH = 8  # bytes of the headers
IP4_LENGTH, IP6_LENGTH = 20, 40
I_FLAG = 0x08
FRAGMENT_BITS = 0x3FFF  # MF and offset


def mac_of(address: str) -> str:
    """The MAC of an address that the test bed simulates, or of a multicast group."""
    packed = ipaddress.ip_address(address).packed
    if address.startswith("ff"):
        return "33:33:" + packed[-4:].hex(":")  # RFC 2464 section 7
    if len(packed) == 4 and 224 <= packed[0] <= 239:
        return bytes((1, 0, 0x5E, packed[1] & 0x7F, *packed[2:])).hex(":")  # RFC 1112 section 6.4
    return "02:52:" + packed[-4:].hex(":")


def frame(source: str, destination: str, payload: bytes = b"", ethertype: int = TEST_TYPE) -> bytes:
    """An untagged frame, padded to the shortest length."""
    made = bytes(Ether(src=source, dst=destination, type=ethertype)) + payload
    return made.ljust(SHORTEST, b"\0")


def ip_frame(
    source: str, destination: str, size: int = 64, tos: int = 0, ipv6: bool = False,
    flags: str = "", ttl: int = 64, **ports: int,
) -> bytes:  # fmt: skip
    """A UDP packet between two VMs; size: of the IP packet, in bytes; flags: DF or none."""
    network = (
        IPv6(src="2001:db8:a::1", dst="2001:db8:a::2", tc=tos, hlim=ttl)
        if ipv6
        else IP(src="10.0.0.1", dst="10.0.0.2", tos=tos, flags=flags, ttl=ttl)
    )
    head = network / UDP(sport=ports.get("sport", 40000), dport=ports.get("dport", 7))
    padding = bytes(number & 0xFF for number in range(size - len(head)))
    return bytes(Ether(src=source, dst=destination) / head / Raw(padding)).ljust(SHORTEST, b"\0")


def arp_request(source: str, sender: str = "10.0.0.1", target: str = "10.0.0.2") -> bytes:
    """An ARP request: who has `target`?"""
    request = Ether(src=source, dst=BROADCAST) / ARP(hwsrc=source, psrc=sender, pdst=target)
    return bytes(request).ljust(SHORTEST, b"\0")


def arp_reply(source: str, to: str, sender: str = "10.0.0.2", target: str = "10.0.0.1") -> bytes:
    """An ARP reply: `sender` is at `source`."""
    reply = Ether(src=source, dst=to) / ARP(op=2, hwsrc=source, psrc=sender, hwdst=to, pdst=target)
    return bytes(reply).ljust(SHORTEST, b"\0")


def solicitation(source: str, sender: str, target: str) -> bytes:
    """A neighbour solicitation: who has `target`?"""
    low = ipaddress.ip_address(target).packed[-3:]
    group, mac = f"ff02::1:ff{low[0]:02x}:{low[1]:02x}{low[2]:02x}", "33:33:ff:" + low.hex(":")
    request = ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=source)
    return bytes(Ether(src=source, dst=mac) / IPv6(src=sender, dst=group, hlim=255) / request)


def advertisement(source: str, to: str, sender: str, target: str) -> bytes:
    """A neighbour advertisement: `sender` is at `source`."""
    reply = ICMPv6ND_NA(tgt=sender, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=source)
    return bytes(Ether(src=source, dst=to) / IPv6(src=sender, dst=target, hlim=255) / reply)


def tagged(made: bytes, vlan: int | None, priority: int = 0) -> bytes:
    """The frame with an 802.1Q tag behind its addresses; unchanged for None."""
    if vlan is None:
        return made
    return made[:12] + _tag(vlan, priority) + made[12:]


def _tag(vlan: int, priority: int) -> bytes:
    return b"\x81\x00" + (priority << 13 | vlan).to_bytes(2, "big")


def vxlan_header(vni: int, flags: int = I_FLAG, reserved: int = 0, last: int = 0) -> bytes:
    """RFC 7348 section 5: flags, 24 reserved bits, VNI, 8 reserved bits."""
    return bytes((flags,)) + reserved.to_bytes(3, "big") + vni.to_bytes(3, "big") + bytes((last,))


@dataclass(frozen=True)
class Outer:
    """The outer headers of a packet to be built; None means that a field is computed.

    udp_checksum: 0 sends no checksum, None the correct one, any other value is sent as it is.
    """

    source: str
    destination: str
    port: int
    own_mac: str
    source_port: int = 51234
    udp_checksum: int | None = 0
    udp_length: int | None = None
    tos: int = 0
    ttl: int = 64
    changes: tuple[tuple[str, Any], ...] = ()  # fields of the IP header
    vlan: int | None = None
    destination_mac: str | None = None

    def packet(self, payload: bytes) -> bytes:
        """The whole packet around a UDP payload."""
        network = self.network()
        udp = UDP(sport=self.source_port, dport=self.port, len=self.udp_length)
        length = UDP_LENGTH + len(payload) if self.udp_length is None else self.udp_length
        udp.len = length
        udp.chksum = 0
        bare = bytes(udp) + payload
        udp.chksum = self.udp_checksum
        if self.udp_checksum is None:
            udp.chksum = checksum(network, bare)
        if isinstance(network, IPv6):
            network.nh = 17
        packet = bytes(self.ethernet() / network / Raw(bytes(udp) + payload))
        return tagged(packet, self.vlan).ljust(SHORTEST, b"\0")

    def network(self) -> Any:
        """The IP header alone."""
        changes = dict(self.changes)
        if ":" in self.source:
            return IPv6(
                src=self.source, dst=self.destination, tc=self.tos, hlim=self.ttl, **changes
            )
        return IP(
            src=self.source, dst=self.destination, tos=self.tos, ttl=self.ttl, proto=17, **changes
        )

    def ethernet(self) -> Any:
        """The Ethernet header alone."""
        group = ipaddress.ip_address(self.destination).is_multicast
        to = self.destination_mac or (mac_of(self.destination) if group else self.own_mac)
        return Ether(src=mac_of(self.source), dst=to)


def checksum(network: ScapyPacket, datagram: bytes) -> int:
    """The UDP checksum of a datagram; a result of 0 is sent as 0xffff (RFC 768)."""
    found = (
        in6_chksum(17, network, datagram)
        if isinstance(network, IPv6)
        else in4_chksum(17, network, datagram)
    )
    return int(found) or 0xFFFF


@dataclass(frozen=True)
class VxlanPacket:
    """A VXLAN packet that the VTEP under test sent, parsed here byte by byte."""

    raw: bytes
    destination_mac: str
    network: Any  # Scapy's IP or IPv6
    udp: bytes  # header and payload, up to the end that the IP header gives
    trailer: bytes  # bytes after that

    @property
    def source(self) -> str:
        """Outer source address."""
        return str(ipaddress.ip_address(self.network.src))

    @property
    def destination(self) -> str:
        """Outer destination address."""
        return str(ipaddress.ip_address(self.network.dst))

    @property
    def source_port(self) -> int:
        """Outer UDP source port."""
        return int.from_bytes(self.udp[:2], "big")

    @property
    def port(self) -> int:
        """Outer UDP destination port."""
        return int.from_bytes(self.udp[2:4], "big")

    @property
    def udp_length(self) -> int:
        """The length field of the UDP header."""
        return int.from_bytes(self.udp[4:6], "big")

    @property
    def udp_checksum(self) -> int:
        """The checksum field as it was sent."""
        return int.from_bytes(self.udp[6:8], "big")

    @property
    def correct_checksum(self) -> int:
        """What the checksum field must be if it is not zero."""
        return checksum(self.network, self.udp[:6] + bytes(2) + self.udp[8:])

    @property
    def header(self) -> bytes:
        """The VXLAN header's eight bytes."""
        return self.udp[UDP_LENGTH : UDP_LENGTH + VXLAN_LENGTH]

    @property
    def vni(self) -> int:
        """The VNI."""
        return int.from_bytes(self.header[4:7], "big")

    @property
    def inner(self) -> bytes:
        """The inner frame."""
        return self.udp[UDP_LENGTH + VXLAN_LENGTH :]

    @property
    def tos(self) -> int:
        """TOS or traffic class of the outer header."""
        return int(self.network.tc if isinstance(self.network, IPv6) else self.network.tos)

    @property
    def ttl(self) -> int:
        """TTL or hop limit of the outer header."""
        return int(self.network.hlim if isinstance(self.network, IPv6) else self.network.ttl)


def untagged(packet: bytes) -> bytes:
    """A packet without its 802.1Q tag, if it has one."""
    return packet[:12] + packet[16:] if packet[12:14] == b"\x81\x00" else packet


def parse_vxlan(packet: bytes, port: int) -> VxlanPacket | None:
    """Parse a VXLAN packet to a UDP port; None if the packet is another one, or a fragment."""
    plain = untagged(packet)
    parsed = parsed_network(plain)
    if parsed is None or is_fragment(plain):
        return None
    network, rest = parsed
    length = network.plen if isinstance(network, IPv6) else network.len - network.ihl * 4
    protocol = network.nh if isinstance(network, IPv6) else network.proto
    if protocol != 17 or len(rest) < UDP_LENGTH or int.from_bytes(rest[2:4], "big") != port:
        return None
    return VxlanPacket(packet, plain[:6].hex(":"), network, rest[:length], rest[length:])


def parsed_network(plain: bytes) -> tuple[Any, bytes] | None:
    """The IP header of an untagged packet and all that follows it; None if it is not IP."""
    body = plain[14:]
    if plain[12:14] == b"\x08\x00" and len(body) >= IP4_LENGTH:
        length = (body[0] & 0x0F) * 4
        header = IP(body[:length])
        header.remove_payload()
        return header, body[length:]
    if plain[12:14] == b"\x86\xdd" and len(body) >= IP6_LENGTH:
        header = IPv6(body[:IP6_LENGTH])
        header.remove_payload()
        return header, body[IP6_LENGTH:]
    return None


def is_fragment(plain: bytes) -> bool:
    """Whether an untagged packet is an IP fragment."""
    if plain[12:14] == b"\x86\xdd":
        return plain[20:21] == b"\x2c"  # RFC 8200 section 4.5: next header 44
    bits = int.from_bytes(plain[20:22], "big") & FRAGMENT_BITS
    return plain[12:14] == b"\x08\x00" and bits != 0
