"""One record for each decision of the core. `vxlab events`, the demo and tests read them.

Each frame or datagram gets exactly one of flooded, sent, delivered, answered and dropped, after any
learned or moved. Events hold bytes as the core had them; text is made only for events that are
shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vtep.ethernet import ethertype_of, mac_text, summary

JOINED, LEFT = "joined", "left"
LEARNED, MOVED, AGED, FLUSHED = "learned", "moved", "aged", "flushed"
FLOODED, SENT, DELIVERED, DROPPED = "flooded", "sent", "delivered", "dropped"
ANSWERED = "answered"  # the VTEP replied in place of a remote VM (ARP suppression)


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
    failed: tuple[tuple[str, str], ...] = ()  # (remote, reason) of the copies that were not sent

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
            "failed": [{"remote": to, "reason": reason} for to, reason in self.failed] or None,
            "frame": frame_as_json(self.frame) if self.frame is not None else None,
            "initial": initial,
        }


def frame_as_json(frame: bytes) -> dict[str, Any]:
    """The main fields of a frame; addresses are None if the frame ends before them."""
    return {
        "source": mac_text(frame[6:12]) if len(frame) >= 12 else None,
        "destination": mac_text(frame[:6]) if len(frame) >= 6 else None,
        "ethertype": f"{ethertype_of(frame):#06x}",
        "length": len(frame),
        "summary": summary(frame),
    }
