"""Section 7: forged sources, static entries and trusted remotes."""

from __future__ import annotations

from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, tagged
from vxlab.conformance.setups import GREEN, STATIC_MAC, TRUSTED
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, conforms


def _goes_to(bed: TestBed, mac: str) -> list[str]:
    """The destinations of a frame for a MAC."""
    seen = bed.traffic.from_vm(frame(bed.packets.vm_mac(), mac))
    return [packet.destination for packet in seen.tunnel]


@row("N43", "7", "plain", "A packet with a forged source does not move a static entry")
def static_entry_wins(bed: TestBed) -> Finding | None:
    home = bed.remotes[1]
    before = _goes_to(bed, STATIC_MAC)
    seen = bed.traffic.from_remote(
        bed.packets.vxlan(frame(STATIC_MAC, BROADCAST), remote=2), count=True
    )
    seen.claim(before == [home], f"frames for the static entry go to {before}, not to {home}")
    after = _goes_to(bed, STATIC_MAC)
    seen.claim(after == [home], f"after a forged frame they go to {after}, not to {home}")
    outcome = "delivered" if seen.port else f"dropped ({seen.counted or 'not counted'})"
    return conforms(f"the forged frame itself is {outcome}")


@row("N43.local", "7", "plain", "A VM's frame with a forged source does not move a static entry")
def static_entry_wins_over_a_vm(bed: TestBed) -> Finding | None:
    home = bed.remotes[1]
    seen = bed.traffic.from_vm(frame(STATIC_MAC, BROADCAST), count=True)
    after = _goes_to(bed, STATIC_MAC)
    seen.claim(after == [home], f"after a forged frame they go to {after}, not to {home}")
    outcome = "sent" if seen.tunnel else f"dropped ({seen.counted or 'not counted'})"
    return conforms(f"the forged frame itself is {outcome}")


@row("N43.trusted", "7", "plain", "Option: packets of untrusted VTEPs are dropped", TRUSTED)
def only_trusted_remotes(bed: TestBed) -> Finding | None:
    mac = bed.packets.remote_mac()
    seen = bed.traffic.from_remote(bed.packets.vxlan(frame(mac, BROADCAST), remote=2), count=True)
    seen.claim(not seen.port, f"a frame from {bed.remotes[2]}, which is not trusted, was delivered")
    counted = seen.counted or "not counted"
    to = _goes_to(bed, mac)
    seen.claim(bed.remotes[2] not in to, "a VTEP that is not trusted was learned")
    made = frame(mac, BROADCAST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, remote=1))
    seen.claim(
        seen.port == [tagged(made, GREEN.vlan)], "a frame from a trusted VTEP was not delivered"
    )
    return conforms(f"dropped ({counted})")
