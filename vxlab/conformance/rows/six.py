"""Section 5: the main rows over an IPv6 underlay."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, I_FLAG, frame, ip_frame, tagged, vxlan_header
from vxlab.conformance.observation import Observation
from vxlab.conformance.rows.header import all_ways_out
from vxlab.conformance.rows.multicast import await_start, claim_flooded
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import SIX, SIX_ZERO
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, allowed, conforms, unobservable


@row("N36", "5", "plain", "Over IPv6: flood, learn, encapsulate and decapsulate", SIX)
def core_over_ipv6(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    first, second = bed.segments
    group = first.group if bed.multicast else None
    seen = bed.traffic.from_remote(bed.packets.vxlan(frames.arp_request(there), remote=2, to=group))
    seen.claim(len(seen.port) == 1, "an ARP request from the group did not reach the VM once")
    seen = bed.traffic.from_vm(frames.arp_reply(here, there))
    to = [packet.destination for packet in seen.tunnel]
    seen.claim(to == [bed.remotes[2]], f"the ARP reply went to {to}")
    for segment in (first, second):
        claim_flooded(bed, segment, frame(bed.packets.vm_mac(), BROADCAST), "a broadcast")
    claim_flooded(bed, first, frame(here, bed.packets.vm_mac()), "an unknown unicast")
    learn(bed, there, remote=0, vni=second.vni)
    seen = bed.traffic.from_vm(frame(here, there), frame(here, there))
    to = [packet.destination for packet in seen.tunnel]
    seen.claim(to == [bed.remotes[2]] * 2, f"one MAC in two VNIs: sent to {to}")
    return None


@row(
    "N36.header",
    "5",
    "MUST",
    "Over IPv6: I flag 1, all other bits 0, the VTEP's own outer source",
    SIX,
)
def header_over_ipv6(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    for packet in seen.tunnel:
        expected = vxlan_header(packet.vni)
        seen.claim(packet.header == expected, f"header {packet.header.hex()}")
        seen.claim(packet.source == bed.setup.own, f"outer source {packet.source}")
    seen, made = _with_flags(bed, 0)
    seen.claim(not seen.port, "the I flag is 0, but the frame was delivered")
    seen, made = _with_flags(bed, I_FLAG | 0x80)
    vlan = bed.segments[0].vlan
    seen.claim(seen.port == [tagged(made, vlan)], "a reserved flag was not ignored")
    return None


def _with_flags(bed: TestBed, flags: int) -> tuple[Observation, bytes]:
    made = frame(bed.packets.remote_mac(), BROADCAST)
    packet = bed.packets.outer().packet(vxlan_header(bed.segments[0].vni, flags=flags) + made)
    return bed.traffic.from_remote(packet), made


@row("N36.mld", "4.2", "plain", "Over IPv6: MLD reports the membership, for any source", SIX)
def mld_reports(bed: TestBed) -> Finding | None:
    if not bed.multicast:
        return unobservable("this VTEP has lists of remotes instead of multicast groups")
    groups = {segment.group for segment in bed.segments}
    found = [each for each in await_start(bed) if each.group in groups and each.joins]
    return conforms(found[0].text)


@row("N30.ipv6", "5", "MUST", "Over IPv6: a checksum that is sent is correct", SIX)
def checksum_over_ipv6(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = [frame(here, BROADCAST, bytes(range(size))) for size in range(46, 78)]
    seen = bed.traffic.from_vm(*made, ip_frame(here, there, size=1400))
    seen.claim(len(seen.tunnel) > len(made), "not all frames were sent")
    for packet in seen.tunnel:
        right = packet.udp_checksum in (0, packet.correct_checksum)
        seen.claim(right, f"{packet.udp_checksum:#06x}, correct is {packet.correct_checksum:#06x}")
    if all(packet.udp_checksum == 0 for packet in seen.tunnel):
        return allowed("none is sent")
    return conforms(f"{len(seen.tunnel)} packets")


@row(
    "N28.ipv6",
    "RFC 8200 8.1",
    "MUST",
    "Over IPv6: a checksum is sent, unless zero is agreed on",
    SIX,
)
def checksum_over_ipv6_is_there(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    bare = [packet for packet in seen.tunnel if packet.udp_checksum == 0]
    seen.claim(not bare, f"{len(bare)} of {len(seen.tunnel)} packets were sent without a checksum")
    return None


@row("N29.ipv6", "5", "MAY", "Over IPv6: a zero checksum may be refused (RFC 6936)", SIX)
def zero_checksum_over_ipv6(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, udp_checksum=0))
    return allowed("accepted" if seen.port else "dropped")


@row("N29.agreed", "5", "MAY", "Over IPv6: VTEPs may agree on zero checksums (RFC 6935)", SIX_ZERO)
def zero_checksum_agreed(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    made = ip_frame(there, here)
    seen = bed.traffic.from_remote(bed.packets.vxlan(frame(there, BROADCAST), udp_checksum=0))
    if not seen.port:
        return allowed("packets with zero are dropped nevertheless")
    seen = bed.traffic.from_vm(frame(here, BROADCAST), ip_frame(here, there))
    sums = {packet.udp_checksum for packet in seen.tunnel}
    if sums != {0}:
        return allowed("the checksum is sent nevertheless")
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, udp_checksum=0), bed.packets.vxlan(made))
    seen.claim(len(seen.port) == 2, "a frame did not arrive both with and without a checksum")
    return conforms("zero is sent and accepted")


@row(
    "N32.ipv6",
    "5",
    "MUST",
    "Over IPv6: a packet with a wrong checksum is dropped, if it is verified",
    SIX,
)
def wrong_checksum_over_ipv6(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.remote_mac(), BROADCAST)
    right = frames.parse_vxlan(bed.packets.vxlan(made), bed.setup.port)
    assert right is not None
    seen = bed.traffic.from_remote(
        bed.packets.vxlan(made, udp_checksum=right.udp_checksum ^ 0x0101)
    )
    if seen.port:
        return allowed("it does not verify")
    return conforms("dropped")


@row(
    "N17.ipv6",
    "4.3",
    "RECOMMENDED",
    "Over IPv6: with an underlay MTU of inner + 70 bytes, full frames pass",
    SIX,
)
def full_frames_over_ipv6(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    out = ip_frame(here, there, size=1500)
    seen = bed.traffic.from_vm(out)
    seen.claim(
        [packet.inner for packet in seen.tunnel] == [out],
        "an inner packet of 1500 bytes was not sent",
    )
    back = ip_frame(there, here, size=1500)
    seen = bed.traffic.from_remote(bed.packets.vxlan(back))
    seen.claim(
        seen.port == [tagged(back, bed.segments[0].vlan)],
        "an inner packet of 1500 bytes was not delivered",
    )
    return None


@row("N14.ipv6", "4.3", "MUST NOT", "Over IPv6: a VTEP never fragments", SIX)
def never_fragments_over_ipv6(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = [ip_frame(here, there, size=size, flags="DF") for size in (1501, 1600, 3200)]
    seen = bed.traffic.from_vm(*made, count=True)
    seen.claim(not seen.fragments, f"{len(seen.fragments)} fragments of an oversized frame")
    seen.claim(not seen.tunnel, "an oversized frame was sent")
    return conforms(f"dropped ({seen.counted or 'not counted'})")


@row("N26.ipv6", "5", "RECOMMENDED", "Over IPv6: flows are spread over source ports", SIX)
def source_ports_over_ipv6(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    seen = bed.traffic.from_vm(
        *(ip_frame(here, there, sport=20000 + 7 * flow) for flow in range(40))
    )
    ports = {packet.source_port for packet in seen.tunnel}
    seen.claim(len(ports) >= 2, "40 flows share one source port")
    return conforms(f"40 flows: {len(ports)} ports")


@row("N27.ipv6", "5", "RECOMMENDED", "Over IPv6: source ports are in 49152-65535", SIX)
def source_port_range_over_ipv6(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    ports = {packet.source_port for packet in seen.tunnel}
    seen.claim(min(ports) >= 49152, f"source ports {sorted(ports)[:5]}")
    return None


@row(
    "E16.ipv6",
    "RFC 6040 4.2",
    "MUST",
    "Over IPv6: outer CE marks inner ECT, and drops inner Not-ECT",
    SIX,
)
def congestion_over_ipv6(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    vlan = bed.segments[0].vlan
    seen = bed.traffic.from_remote(bed.packets.vxlan(ip_frame(there, here, tos=2), tos=3))
    seen.claim(
        seen.port == [tagged(ip_frame(there, here, tos=3), vlan)], "ECT(0) was not marked CE"
    )
    seen = bed.traffic.from_remote(bed.packets.vxlan(ip_frame(there, here, tos=0), tos=3))
    seen.claim(not seen.port, "Not-ECT was delivered, and the congestion mark was lost")
    return None
