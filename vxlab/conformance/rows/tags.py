"""Sections 6 and 6.1: VLANs at the VM port, and VLAN tags inside the tunnel."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, ip_frame, tagged
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import ACCESS, BLUE, CARRY, GREEN, TAGGED
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, allowed, conforms, unobservable

_VMS_OWN = 77  # a VLAN that the VMs use, and no segment has
_TAGS = (b"\x81\x00", b"\x88\xa8")


def _drops_inner_tag(bed: TestBed) -> Finding | None:
    """Claim that decapsulated frames with an inner tag do not reach the VMs."""
    plain = frame(bed.packets.remote_mac(), BROADCAST)
    for vlan in (_VMS_OWN, 2, 0):
        seen = bed.traffic.from_remote(bed.packets.vxlan(tagged(plain, vlan)), count=True)
        seen.claim(not seen.port, f"an inner frame with a tag of VLAN {vlan} was delivered")
    return conforms(f"dropped ({seen.counted or 'not counted'})")


@row("N38", "6", "SHOULD", "A gateway drops decapsulated frames that have an inner VLAN tag")
def gateway_drops_inner_tag(bed: TestBed) -> Finding | None:
    return _drops_inner_tag(bed)


@row("N40", "6.1", "SHOULD", "A VTEP drops decapsulated frames that have an inner VLAN tag", ACCESS)
def vtep_drops_inner_tag(bed: TestBed) -> Finding | None:
    return _drops_inner_tag(bed)


@row(
    "N40.carry",
    "6.1",
    "plain",
    "Option carry: decapsulated frames with a tag are delivered",
    CARRY,
)
def carry_passes_inner_tag(bed: TestBed) -> Finding | None:
    made = tagged(frame(bed.packets.remote_mac(), BROADCAST), _VMS_OWN)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made))
    seen.claim(seen.port == [made], "a tagged inner frame was not delivered as it was sent")
    return None


@row("N39", "6", "plain", "A gateway maps VLAN to VNI: it removes the tag, and adds it again")
def gateway_maps_vlans(bed: TestBed) -> Finding | None:
    if not bed.trunk:
        return unobservable("each segment has an untagged port of its own")
    for segment in (GREEN, BLUE):
        for priority in (0, 5):
            made = frame(bed.packets.vm_mac(), BROADCAST)
            seen = bed.traffic.exchange(port=[tagged(made, segment.vlan, priority)])
            inner = {(packet.vni, packet.inner) for packet in seen.tunnel}
            what = f"VLAN {segment.vlan}, priority {priority}"
            seen.claim(inner == {(segment.vni, made)}, f"{what}: not sent without a tag in its VNI")
        back = frame(bed.packets.remote_mac(), BROADCAST)
        seen = bed.traffic.from_remote(bed.packets.vxlan(back, vni=segment.vni))
        seen.claim(
            seen.port == [tagged(back, segment.vlan)], f"not delivered in VLAN {segment.vlan}"
        )
    return None


@row("N39.other", "6", "plain", "Frames of a VLAN without a VNI, and untagged frames, are not sent")
def unmapped_vlans_stay_out(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.vm_mac(), BROADCAST)
    seen = bed.traffic.exchange(port=[tagged(made, 9), made, tagged(made, 4094)], count=True)
    seen.claim(not seen.tunnel, "a frame that belongs to no segment was sent into a tunnel")
    return conforms(f"dropped ({seen.counted or 'not counted'})")


def _sent_for_tagged(bed: TestBed, made: bytes) -> list[bytes]:
    """The inner frames that are sent for a frame with a VLAN tag of the VM's own."""
    seen = bed.traffic.from_vm(tagged(made, _VMS_OWN))
    inner = [packet.inner for packet in seen.tunnel]
    leaked = [each for each in inner if each[12:14] in _TAGS]
    seen.claim(not leaked, "an inner frame has an 802.1Q tag")
    return inner


@row("N41", "6.1", "SHOULD NOT", "A VTEP does not send an inner VLAN tag", ACCESS)
def no_tag_in_the_tunnel(bed: TestBed) -> Finding | None:
    return _untagged_in_the_tunnel(bed)


@row(
    "N41.gateway", "6.1", "SHOULD NOT", "A gateway does not send a second tag as an inner VLAN tag"
)
def no_second_tag_in_the_tunnel(bed: TestBed) -> Finding | None:
    return _untagged_in_the_tunnel(bed)


def _untagged_in_the_tunnel(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    sent = _sent_for_tagged(bed, frame(here, there)) + _sent_for_tagged(
        bed, frames.arp_request(here)
    )
    return conforms() if sent else conforms("tagged frames are not sent at all")


@row("N42", "6.1", "SHOULD", "The VLAN tag of a frame is removed, and nothing else", ACCESS)
def tag_is_stripped(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = ip_frame(here, there, size=200)
    seen = bed.traffic.from_vm(tagged(made, _VMS_OWN))
    if not seen.tunnel:
        return allowed("a tagged frame is not sent")
    inner = [packet.inner for packet in seen.tunnel]
    seen.claim(inner == [made], "the inner frame is not the frame without its tag")
    return None


@row("N41.carry", "6.1", "plain", "Option carry: the VLAN tag of a VM is sent", CARRY)
def carry_keeps_the_tag(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = tagged(ip_frame(here, there, size=200), _VMS_OWN)
    seen = bed.traffic.from_vm(made)
    inner = [packet.inner for packet in seen.tunnel]
    seen.claim(inner == [made], "the VM's VLAN tag was not sent")
    return None


@row("N37.vlan", "5", "plain", "The tunnel works on an underlay interface with a VLAN", TAGGED)
def tagged_underlay(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    seen = bed.traffic.from_vm(frame(here, there))
    vlan = bed.setup.vlan
    seen.claim(
        [p.destination for p in seen.tunnel] == [bed.remotes[0]],
        "the frame was not sent to its remote",
    )
    tags = {packet.raw[12:16].hex() for packet in seen.tunnel}
    seen.claim(tags == {f"8100{vlan:04x}"}, f"outer tags {tags}, not of VLAN {vlan}")
    return None


@row("N37", "5", "plain", "An outer VLAN tag is permitted: priority-tagged packets are received")
def priority_tag_outside(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, vlan=0))
    seen.claim(seen.port == [tagged(made, GREEN.vlan)], "a priority-tagged packet was not received")
    return None
