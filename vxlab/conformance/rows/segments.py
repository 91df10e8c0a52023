"""Sections 4 and 4.1: segments, learning and unicast."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, tagged
from vxlab.conformance.observation import from_sources
from vxlab.conformance.setups import BLUE, GREEN, LARGE
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, NotObservable, conforms


def learn(bed: TestBed, mac: str, remote: int = 0, vni: int | None = None) -> None:
    """Let the VTEP learn the MAC of a VM behind a remote."""
    seen = bed.traffic.from_remote(bed.packets.vxlan(frame(mac, BROADCAST), vni=vni, remote=remote))
    seen.claim(len(seen.port) == 1, "a broadcast from a remote VM did not reach the VM port once")


@row("N1", "4", "plain", "Only VMs of the same VNI can communicate; the VNI has 24 bits")
def same_vni_only(bed: TestBed) -> Finding | None:
    for segment in (GREEN, BLUE, LARGE):
        made = frame(bed.packets.remote_mac(), BROADCAST)
        seen = bed.traffic.from_remote(bed.packets.vxlan(made, vni=segment.vni))
        seen.claim(
            seen.port == [tagged(made, segment.vlan)],
            f"a frame of VNI {segment.vni} was not delivered in VLAN {segment.vlan} only",
        )
        made = frame(bed.packets.vm_mac(), BROADCAST)
        seen = bed.traffic.exchange(port=[tagged(made, segment.vlan)])
        vnis = {packet.vni for packet in seen.tunnel}
        seen.claim(vnis == {segment.vni}, f"VLAN {segment.vlan} was sent with VNIs {vnis or None}")
    wrong = [GREEN.vni | 1 << bit for bit in (8, 16, 23)]
    made = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(*(bed.packets.vxlan(made, vni=vni) for vni in wrong))
    seen.claim(
        not seen.port, f"frames of VNIs that share only some bits with {GREEN.vni} were delivered"
    )
    return None


@row("N2", "4", "plain", "The same MAC can exist in several VNIs without cross-talk")
def same_mac_in_two_vnis(bed: TestBed) -> Finding | None:
    mac = bed.packets.remote_mac()
    learn(bed, mac, remote=0, vni=GREEN.vni)
    learn(bed, mac, remote=1, vni=BLUE.vni)
    made = frame(bed.packets.vm_mac(), mac)
    for segment, remote in ((GREEN, 0), (BLUE, 1), (GREEN, 0)):
        seen = bed.traffic.exchange(port=[tagged(made, segment.vlan)])
        to = [(packet.vni, packet.destination) for packet in seen.tunnel]
        seen.claim(
            (segment.vni, bed.remotes[remote]) in to and len(to) == 1,
            f"a frame to {mac} of VNI {segment.vni} went to {to}, "
            f"not only to {bed.remotes[remote]}",
        )
    return None


@row("N3", "4", "plain", "VMs are unaware of VXLAN: frames arrive unchanged")
def bytes_unchanged(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = [
        frames.arp_request(here),
        frame(here, there, bytes(range(101))),
        frames.ip_frame(here, there, size=1500),
        frame(here, there, bytes(47)),
    ]
    for each in made:
        seen = bed.traffic.from_vm(each)
        seen.claim(
            [packet.inner for packet in seen.tunnel]
            == [each] * (bed.flood_copies if each[:6] == b"\xff" * 6 else 1),
            f"a frame of {len(each)} bytes was changed when it was encapsulated",
        )
        back = each if each[:6] == b"\xff" * 6 else each[6:12] + each[:6] + each[12:]
        back = back[:6] + bytes.fromhex(there.replace(":", "")) + back[12:]
        seen = bed.traffic.from_remote(bed.packets.vxlan(back))
        seen.claim(
            seen.port == [tagged(back, GREEN.vlan)],
            f"a frame of {len(back)} bytes was changed when it was decapsulated",
        )
    return None


@row("N4", "4.1", "plain", "A frame to a MAC whose VTEP is known is sent only to that VTEP")
def known_unicast(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there, remote=1)
    seen = bed.traffic.from_vm(frame(here, there, b"1"), frame(here, there, b"2"))
    to = [packet.destination for packet in seen.tunnel]
    seen.claim(to == [bed.remotes[1]] * 2, f"two frames to a known MAC went to {to}")
    macs = {packet.destination_mac for packet in seen.tunnel}
    expected = frames.mac_of(bed.remotes[1])
    seen.claim(macs == {expected}, f"outer MAC {macs}, not that of the remote, {expected}")
    return None


@row("N5", "4.1", "plain", "The receiver checks that the VNI is valid and the MAC is a local VM's")
def vni_is_checked(bed: TestBed) -> Finding | None:
    here = bed.packets.vm_mac()
    bed.traffic.from_vm(frame(here, BROADCAST))
    made = frame(bed.packets.remote_mac(), here)
    for vni in (77, 0, 0xFFFFFF):
        seen = bed.traffic.from_remote(bed.packets.vxlan(made, vni=vni), count=True)
        seen.claim(not seen.port, f"VNI {vni} is not configured, but its frame was delivered")
    counted = seen.counted or "not counted"
    unknown = frame(bed.packets.remote_mac(), bed.packets.vm_mac())
    seen = bed.traffic.from_remote(bed.packets.vxlan(unknown))
    seen.claim(
        not carrying(seen.tunnel, unknown),
        "a frame for a MAC that is not local was sent into the tunnel",
    )
    what = "delivered to the VM port" if seen.port else "dropped"
    return conforms(f"unknown VNI: dropped ({counted}); unknown MAC: {what}")


def carrying(tunnel: list[frames.VxlanPacket], inner: bytes) -> list[frames.VxlanPacket]:
    """The packets whose inner frame is this one."""
    return [packet for packet in tunnel if packet.inner == inner]


@row("N6", "4.1", "plain", "The receiver learns the inner source MAC with the outer source address")
def learns_from_the_tunnel(bed: TestBed) -> Finding | None:
    mac = bed.packets.remote_mac()
    seen = bed.traffic.from_remote(bed.packets.vxlan(frame(mac, BROADCAST), remote=1))
    try:
        place = bed.control.remote_of(mac, GREEN.vni)
    except NotObservable:
        made = frame(bed.packets.vm_mac(), mac)
        seen = bed.traffic.from_vm(made)
        to = [packet.destination for packet in seen.tunnel]
        seen.claim(bed.remotes[1] in to, f"a frame to a MAC behind {bed.remotes[1]} went to {to}")
        return conforms("judged by where frames are sent; the VTEP does not show its table")
    seen.claim(place == bed.remotes[1], f"the table has {mac} at remote {place}")
    return conforms("the table has the entry")


@row("N7", "4.1", "plain", "The reply to a flooded ARP request is sent as unicast")
def answer_goes_straight_back(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    group = GREEN.group if bed.multicast else None
    seen = bed.traffic.from_remote(bed.packets.vxlan(frames.arp_request(there), remote=2, to=group))
    seen.claim(len(seen.port) == 1, "the ARP request from the group did not reach the VM once")
    seen = bed.traffic.from_vm(frames.arp_reply(here, there))
    to = [packet.destination for packet in from_sources([here], seen.tunnel)]
    seen.claim(to == [bed.remotes[2]], f"the ARP reply went to {to}")
    return None
