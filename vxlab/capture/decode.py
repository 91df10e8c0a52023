"""Packets as text, decoded by Scapy: for the evidence of the demo and for text captures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from vtep.constants import VXLAN_PORT
from vxlab.capture.packets import OUTBOUND, CapturedPacket

_LLDP = 0x88CC  # EtherType
_IGMP = 2  # IP protocol; Scapy decodes neither IGMP nor LLDP by default
_IGMP_KINDS = {
    b"\x11": "query",
    b"\x12": "report",
    b"\x16": "report",
    b"\x17": "leave",
    b"\x22": "report",
}


@dataclass(frozen=True)
class Encapsulated:
    """A VXLAN packet seen on an underlay link, and the frame it carries."""

    captured: CapturedPacket
    outer: Ether
    inner: Ether

    @property
    def _ip(self) -> IP | IPv6:
        """The outer IP header: the one before the first UDP header, whatever is inside."""
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
    """The outer IP header of either family as text."""
    if isinstance(ip, IPv6):
        return "outer IPv6", f"{ip.src} -> {ip.dst}, hop limit {ip.hlim}"
    return "outer IPv4", f"{ip.src} -> {ip.dst}, TTL {ip.ttl}, flags {ip.flags or '-'}"


def encapsulated(captured: CapturedPacket) -> Encapsulated | None:
    """A captured VXLAN packet; None if it is another packet."""
    outer = Ether(captured.data)
    if UDP not in outer or outer[UDP].dport != VXLAN_PORT or VXLAN not in outer:
        return None
    inner = outer[VXLAN].payload
    return Encapsulated(captured, outer, inner) if isinstance(inner, Ether) else None


def frame_line(frame: Ether) -> str:
    """A frame in a few words, its 802.1Q tags first, the outer one before the inner."""
    payload, tags = frame.payload, []
    while isinstance(payload, Dot1Q):
        tags.append(f"VLAN {payload.vlan} ")
        payload = payload.payload
    return "".join(tags) + _payload_line(frame, payload)


def _payload_line(frame: Ether, payload: Packet) -> str:
    if ARP in frame:
        arp = frame[ARP]
        if arp.op == 1:
            return f"ARP who-has {arp.pdst} tell {arp.psrc}"
        return f"ARP {arp.psrc} is-at {arp.hwsrc}"
    if frame.type == _LLDP:
        return "LLDP"
    if IP in frame and frame[IP].proto == _IGMP:
        kind = _IGMP_KINDS.get(bytes(frame[IP].payload)[:1], "message")
        return f"IGMP {kind} {frame[IP].src} -> {frame[IP].dst}"
    return str(payload.summary())


def clock(time_ns: int) -> str:
    """A time stamp (ns since 1970) as local time of day, to the nanosecond."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds):%H:%M:%S}.{nanoseconds:09d}"


def one_line(captured: CapturedPacket) -> str:
    """A packet as `vxlab capture` prints it."""
    arrow = "out" if captured.direction == OUTBOUND else "in"
    found = encapsulated(captured)
    if found is None:
        text = _frame_text(Ether(captured.data))
    else:
        text = (
            f"VXLAN {found.source} -> {found.destination} VNI {found.vni}: "
            f"{_frame_text(found.inner)}"
        )
    return f"{clock(captured.time_ns)} {captured.interface} {arrow} {text}"


def _frame_text(frame: Ether) -> str:
    return f"{frame.src} -> {frame.dst} {frame_line(frame)}"
