"""Captured packets in words, decoded by Scapy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from vtep.constants import VXLAN_PORT
from vxlab.capture.packets import OUTBOUND, CapturedPacket


@dataclass(frozen=True)
class Encapsulated:
    """A VXLAN packet seen on an underlay link, and the frame it carries."""

    captured: CapturedPacket
    outer: Ether
    inner: Ether

    @property
    def _ip(self) -> IP | IPv6:
        """The outer IP header; the inner frame may have one, too, but not before the first UDP."""
        return self.outer[UDP].underlayer

    @property
    def source(self) -> str:
        """The sending VTEP's address."""
        return str(self._ip.src)

    @property
    def destination(self) -> str:
        """The group, or the receiving VTEP's address."""
        return str(self._ip.dst)

    @property
    def vni(self) -> int:
        """The VXLAN network identifier."""
        return int(self.outer[VXLAN].vni)

    def fields(self) -> list[tuple[str, str]]:
        """The headers field by field, outermost first."""
        udp, vxlan = self.outer[UDP], self.outer[VXLAN]
        return [
            ("outer Ethernet", f"{self.outer.src} -> {self.outer.dst}"),
            _ip_field(self._ip),
            ("outer UDP", f"{udp.sport} -> {udp.dport}, checksum {udp.chksum or 0:#06x}"),
            ("VXLAN", f"flags {int(vxlan.flags):#04x} (I: VNI valid), VNI {vxlan.vni}"),
            ("inner Ethernet", f"{self.inner.src} -> {self.inner.dst}"),
            ("inner frame", frame_line(self.inner)),
        ]


def _ip_field(ip: IP | IPv6) -> tuple[str, str]:
    """The outer IP header of either family in words."""
    if isinstance(ip, IPv6):
        return "outer IPv6", f"{ip.src} -> {ip.dst}, hop limit {ip.hlim}"
    return "outer IPv4", f"{ip.src} -> {ip.dst}, TTL {ip.ttl}, flags {ip.flags or '-'}"


def encapsulated(captured: CapturedPacket) -> Encapsulated | None:
    """The VXLAN packet in a captured packet, or None if it has none."""
    outer = Ether(captured.data)
    if UDP not in outer or outer[UDP].dport != VXLAN_PORT or VXLAN not in outer:
        return None
    inner = outer[VXLAN].payload
    return Encapsulated(captured, outer, inner) if isinstance(inner, Ether) else None


def frame_line(frame: Ether) -> str:
    """A frame in a few words."""
    if ARP in frame:
        arp = frame[ARP]
        if arp.op == 1:
            return f"ARP who-has {arp.pdst} tell {arp.psrc}"
        return f"ARP {arp.psrc} is-at {arp.hwsrc}"
    return str(frame.payload.summary())


def one_line(captured: CapturedPacket) -> str:
    """A captured packet as `vxlab capture` prints it."""
    time = datetime.fromtimestamp(captured.time_ns / 1e9).strftime("%H:%M:%S.%f")
    arrow = "out" if captured.direction == OUTBOUND else "in"
    found = encapsulated(captured)
    if found is None:
        text = Ether(captured.data).summary()
    else:
        text = (
            f"VXLAN {found.source} -> {found.destination} VNI {found.vni}: "
            f"{found.inner.src} -> {found.inner.dst} {frame_line(found.inner)}"
        )
    return f"{time} {captured.interface} {arrow} {text}"
