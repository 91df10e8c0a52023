"""Frames as VMs send them, built by Scapy and returned as bytes."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

BROADCAST = "ff:ff:ff:ff:ff:ff"
A, B, C = (f"02:00:00:00:00:0{letter}" for letter in "abc")
A_IP, B_IP, C_IP = "10.0.0.1", "10.0.0.2", "10.0.0.3"
A_IP6, B_IP6 = "2001:db8::1", "2001:db8::2"


def mac(text: str) -> bytes:
    """A MAC as bytes."""
    return bytes.fromhex(text.replace(":", ""))


def plain(source: str = A, destination: str = BROADCAST, payload: bytes = b"\0" * 46) -> bytes:
    """A frame with the ethertype for local experiments (0x88b5), which no code parses."""
    return mac(destination) + mac(source) + b"\x88\xb5" + payload


def arp_request(source: str = A, sender: str = A_IP, target: str = B_IP) -> bytes:
    """An ARP request for `target`: broadcast, 42 bytes."""
    arp = ARP(op=1, hwsrc=source, psrc=sender, hwdst="00:00:00:00:00:00", pdst=target)
    return bytes(Ether(src=source, dst=BROADCAST) / arp)


def arp_reply(source: str = B, sender: str = B_IP, to: str = A, target: str = A_IP) -> bytes:
    """An ARP reply of `sender`: unicast."""
    arp = ARP(op=2, hwsrc=source, psrc=sender, hwdst=to, pdst=target)
    return bytes(Ether(src=source, dst=to) / arp)


def echo(source: str = A, to: str = B, size: int = 56, kind: str = "echo-request") -> bytes:
    """A ping from one of A, B and C to another."""
    ips = {A: A_IP, B: B_IP, C: C_IP}
    ip = IP(src=ips.get(source, A_IP), dst=ips.get(to, B_IP))
    return bytes(Ether(src=source, dst=to) / ip / ICMP(type=kind) / Raw(b"x" * size))


def echo6() -> bytes:
    """A ping from A to B over IPv6."""
    return bytes(Ether(src=A, dst=B) / IPv6(src=A_IP6, dst=B_IP6) / ICMPv6EchoRequest(data=b"x"))


def solicitation6() -> bytes:
    """A neighbour solicitation, to a multicast MAC."""
    ip = IPv6(src=A_IP6, dst="ff02::1:ff00:2")
    return bytes(Ether(src=A, dst="33:33:ff:00:00:02") / ip / ICMPv6ND_NS(tgt=B_IP6))


def tcp(sport: int = 1024, dport: int = 80, payload: bytes = b"", **fields: Any) -> bytes:
    """A TCP segment from A to B over IPv4."""
    head = IP(src=A_IP, dst=B_IP) / TCP(sport=sport, dport=dport, **fields)
    return bytes(Ether(src=A, dst=B) / head / Raw(payload))


def tcp6(sport: int = 1024, dport: int = 80, payload: bytes = b"", **fields: Any) -> bytes:
    """A TCP segment from A to B over IPv6."""
    head = IPv6(src=A_IP6, dst=B_IP6) / TCP(sport=sport, dport=dport, **fields)
    return bytes(Ether(src=A, dst=B) / head / Raw(payload))


def udp(sport: int = 1024, dport: int = 53, payload: bytes = b"") -> bytes:
    """A UDP datagram from A to B over IPv4."""
    head = IP(src=A_IP, dst=B_IP) / UDP(sport=sport, dport=dport)
    return bytes(Ether(src=A, dst=B) / head / Raw(payload))


def udp6(sport: int = 1024, dport: int = 53, payload: bytes = b"") -> bytes:
    """A UDP datagram from A to B over IPv6."""
    head = IPv6(src=A_IP6, dst=B_IP6) / UDP(sport=sport, dport=dport)
    return bytes(Ether(src=A, dst=B) / head / Raw(payload))


def tagged(frame: bytes, *vlans: int) -> bytes:
    """The frame with 802.1Q tags after its addresses, outermost first."""
    tags = b"".join(b"\x81\x00" + vlan.to_bytes(2, "big") for vlan in vlans)
    return frame[:12] + tags + frame[12:]


def parsed(frame: bytes) -> Packet:
    """A frame parsed by Scapy."""
    return Ether(frame)
