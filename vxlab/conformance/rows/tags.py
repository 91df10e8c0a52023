"""Section 6 and 6.1: VLANs of the VM side, and tags inside the tunnel."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, ip_frame, tagged
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import ACCESS, BLUE, CARRY, GREEN, TAGGED
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, allowed, conforms, unobservable

_VMS_OWN = 77  # a VLAN of the VMs, known to no segment
_TAGS = (b"\x81\x00", b"\x88\xa8")


def _drops_inner_tag(bed: TestBed) -> Finding | None:
    """A decapsulated frame with an inner tag does not reach the VMs."""
    plain = frame(bed.packets.remote_mac(), BROADCAST)
    for vlan in (_VMS_OWN, 2, 0):
        seen = bed.traffic.from_remote(bed.packets.vxlan(tagged(plain, vlan)), count=True)
        seen.claim(not seen.port, f"an inner frame with a tag of VLAN {vlan} was delivered")
    return conforms(f"dropped ({seen.counted or 'not counted'})")


@row("N38", "6", "SHOULD", "A gateway drops decapsulated frames that bear an inner VLAN tag")
def gateway_drops_inner_tag(bed: TestBed) -> Finding | None:
    return _drops_inner_tag(bed)


@row("N40", "6.1", "SHOULD", "A decapsulated frame with an inner tag is discarded", ACCESS)
def vtep_drops_inner_tag(bed: TestBed) -> Finding | None:
    return _drops_inner_tag(bed)


@row(
    "N40.carry",
    "6.1",
    "plain",
    "Configured to carry tags, it passes tagged frames",
    CARRY,
)
def carry_passes_inner_tag(bed: TestBed) -> Finding | None:
    made = tagged(frame(bed.packets.remote_mac(), BROADCAST), _VMS_OWN)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made))
    seen.claim(seen.port == [made], "a tagged inner frame did not come out as it was")
    return None


@row("N39", "6", "plain", "A gateway maps VLAN to VNI, removes the tag, and puts it back")
def gateway_maps_vlans(bed: TestBed) -> Finding | None:
    if not bed.trunk:
        return unobservable("each segment has an untagged port of its own")
    for segment in (GREEN, BLUE):
        for priority in (0, 5):
            made = frame(bed.packets.vm_mac(), BROADCAST)
            seen = bed.traffic.exchange(port=[tagged(made, segment.vlan, priority)])
            inner = {(packet.vni, packet.inner) for packet in seen.tunnel}
            what = f"VLAN {segment.vlan}, priority {priority}"
            seen.claim(inner == {(segment.vni, made)}, f"{what}: not sent untagged in its VNI")
        back = frame(bed.packets.remote_mac(), BROADCAST)
        seen = bed.traffic.from_remote(bed.packets.vxlan(back, vni=segment.vni))
        seen.claim(seen.port == [tagged(back, segment.vlan)], f"not delivered in {segment.vlan}")
    return None


@row("N39.other", "6", "plain", "Frames of a VLAN without a VNI, and untagged ones, stay out")
def unmapped_vlans_stay_out(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.vm_mac(), BROADCAST)
    seen = bed.traffic.exchange(port=[tagged(made, 9), made, tagged(made, 4094)], count=True)
    seen.claim(not seen.tunnel, "a frame of no segment went into a tunnel")
    return conforms(f"dropped ({seen.counted or 'not counted'})")


def _sent_for_tagged(bed: TestBed, made: bytes) -> list[bytes]:
    """The inner frames that become of a frame which bears a tag of the VM's own."""
    seen = bed.traffic.from_vm(tagged(made, _VMS_OWN))
    inner = [packet.inner for packet in seen.tunnel]
    leaked = [each for each in inner if each[12:14] in _TAGS]
    seen.claim(not leaked, "an 802.1Q tag follows the inner MACs")
    return inner


@row("N41", "6.1", "SHOULD NOT", "A VTEP includes no inner tag in tunnel packets", ACCESS)
def no_tag_in_the_tunnel(bed: TestBed) -> Finding | None:
    return _untagged_in_the_tunnel(bed)


@row("N41.gateway", "6.1", "SHOULD NOT", "The same for a second tag behind that of the segment")
def no_second_tag_in_the_tunnel(bed: TestBed) -> Finding | None:
    return _untagged_in_the_tunnel(bed)


def _untagged_in_the_tunnel(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    sent = _sent_for_tagged(bed, frame(here, there)) + _sent_for_tagged(
        bed, frames.arp_request(here)
    )
    return conforms() if sent else conforms("tagged frames are not tunnelled at all")


@row("N42", "6.1", "SHOULD", "The tag of a frame to be tunnelled is stripped, no more", ACCESS)
def tag_is_stripped(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = ip_frame(here, there, size=200)
    seen = bed.traffic.from_vm(tagged(made, _VMS_OWN))
    if not seen.tunnel:
        return allowed("a tagged frame is not tunnelled")
    inner = [packet.inner for packet in seen.tunnel]
    seen.claim(inner == [made], "what is left is not the frame without its tag")
    return None


@row("N41.carry", "6.1", "plain", "Configured to carry tags, it tunnels the tag of a VM", CARRY)
def carry_keeps_the_tag(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = tagged(ip_frame(here, there, size=200), _VMS_OWN)
    seen = bed.traffic.from_vm(made)
    inner = [packet.inner for packet in seen.tunnel]
    seen.claim(inner == [made], "the VM's tag was not carried")
    return None


@row("N37.vlan", "5", "plain", "The tunnel works on a tagged underlay", TAGGED)
def tagged_underlay(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    seen = bed.traffic.from_vm(frame(here, there))
    vlan = bed.setup.vlan
    seen.claim([p.destination for p in seen.tunnel] == [bed.remotes[0]], "not sent")
    tags = {packet.raw[12:16].hex() for packet in seen.tunnel}
    seen.claim(tags == {f"8100{vlan:04x}"}, f"outer tags {tags}, not of VLAN {vlan}")
    return None


@row("N37", "5", "plain", "An outer VLAN tag is allowed: priority-tagged packets are received")
def priority_tag_outside(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, vlan=0))
    seen.claim(seen.port == [tagged(made, GREEN.vlan)], "a priority-tagged packet was not received")
    return None
