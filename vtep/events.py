"""One record for each decision of the core: what demo, failure artefacts and views stand on.

Each frame or datagram gets exactly one of flooded, sent, delivered, answered and dropped;
learned and moved come before it. Records hold what the core had in hand; text is made only when
one is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vtep.ethernet import ethertype_of, mac_text, summary

JOINED, LEFT = "joined", "left"
LEARNED, MOVED, AGED, FLUSHED = "learned", "moved", "aged", "flushed"
FLOODED, SENT, DELIVERED, DROPPED = "flooded", "sent", "delivered", "dropped"
ANSWERED = "answered"  # in place of a remote VM: ARP suppression


@dataclass(frozen=True)
class Event:
    """A decision and its reason; fields that do not apply are None."""

    now: float  # seconds, monotonic
    decision: str
    why: str
    vni: int | None = None
    vlan: int | None = None
    mac: bytes | None = None
    remote: str | None = None
    group: str | None = None
    sport: int | None = None  # outer UDP source port
    frame: bytes | None = None  # inner frame, untagged

    def as_json(self, hypervisor: str, clock_offset_s: float, initial: bool) -> dict[str, Any]:
        """As a JSON object; clock_offset_s turns monotonic into Unix time."""
        return {
            "time_s": round(self.now + clock_offset_s, 6),
            "hypervisor": hypervisor,
            "decision": self.decision,
            "why": self.why,
            "vni": self.vni,
            "vlan": self.vlan,
            "mac": mac_text(self.mac) if self.mac else None,
            "remote": self.remote,
            "group": self.group,
            "sport": self.sport,
            "frame": frame_as_json(self.frame) if self.frame is not None else None,
            "initial": initial,
        }


def frame_as_json(frame: bytes) -> dict[str, Any]:
    """A frame in short; addresses are None where the frame ends before them."""
    return {
        "source": mac_text(frame[6:12]) if len(frame) >= 12 else None,
        "destination": mac_text(frame[:6]) if len(frame) >= 6 else None,
        "ethertype": f"{ethertype_of(frame):#06x}",
        "length": len(frame),
        "summary": summary(frame),
    }
