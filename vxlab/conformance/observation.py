"""What came out of the VTEP under test during one exchange, and claims about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vxlab.conformance import frames
from vxlab.conformance.frames import VxlanPacket
from vxlab.conformance.verdict import Deviation, Packet

_SHOWN = 6  # packets shown for a deviation, sent and received each


@dataclass
class Observation:
    """One exchange: what was sent, the frames at the VM port and the packets at the underlay."""

    udp_port: int  # the VTEP's: how its VXLAN packets are recognised
    sent: list[Packet] = field(default_factory=list)
    port: list[bytes] = field(default_factory=list)
    underlay: list[bytes] = field(default_factory=list)
    counted: str | None = None  # the drop counters that rose, if asked for and shown by the VTEP

    @property
    def tunnel(self) -> list[VxlanPacket]:
        """The VXLAN packets among those at the underlay."""
        read = (frames.parse_vxlan(packet, self.udp_port) for packet in self.underlay)
        return [packet for packet in read if packet and not is_housekeeping(packet.inner)]

    @property
    def fragments(self) -> list[bytes]:
        """The IP fragments among the packets at the underlay."""
        return [packet for packet in self.underlay if frames.is_fragment(frames.untagged(packet))]

    def evidence(self) -> list[Packet]:
        """The first packets that were sent, and the first that came out."""
        out = [Packet("from the underlay port", packet) for packet in self.underlay]
        back = [Packet("from the VM port", frame) for frame in self.port]
        return self.sent[:_SHOWN] + (out + back)[:_SHOWN]

    def claim(self, holds: object, text: str) -> None:
        """Raise Deviation with these packets unless the claim holds; text: what was seen."""
        if not holds:
            raise Deviation(text, self.evidence())


def is_housekeeping(frame: bytes) -> bool:
    """Whether a frame is IGMP, MLD or neighbour discovery.

    VTEPs make interfaces of their own, and these send such frames without being asked.
    """
    plain = frames.untagged(frame)
    if plain[12:14] == b"\x86\xdd":
        return plain[22:24] in (b"\xfe\x80", b"\0\0")
    return plain[12:14] == b"\x08\x00" and plain[23:24] == b"\x02"


def from_sources(macs: Iterable[str], packets: Sequence[VxlanPacket]) -> list[VxlanPacket]:
    """The packets whose inner source is one of these MACs."""
    expected = {bytes.fromhex(mac.replace(":", "")) for mac in macs}
    return [packet for packet in packets if packet.inner[6:12] in expected]
