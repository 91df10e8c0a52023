"""Section 5: UDP ports and checksums."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, ip_frame, tagged, vxlan_header
from vxlab.conformance.rows.header import all_ways_out
from vxlab.conformance.rows.multicast import claim_flooded
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import (
    CHECKSUM,
    DEFAULT_PORT,
    GREEN,
    OTHER_PORT,
    RANGE,
    SOURCE_PORTS,
)
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, allowed, conforms

# Written out here: the suite must not share a wrong constant with the VTEP.
_DEFAULT, _OTHER = 4789, 8472
_FIRST, _LAST = 49152, 65535


@row("N24", "5", "SHOULD", "The default destination port is 4789", DEFAULT_PORT, option=True)
def default_port(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.vm_mac(), BROADCAST)
    seen = bed.traffic.from_vm(made)
    ports = {_port_of(packet) for packet in seen.underlay} - {None}
    seen.claim(ports == {_DEFAULT}, f"destination ports {ports}")
    back = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(back), bed.packets.vxlan(back, port=_OTHER))
    seen.claim(
        seen.port == [tagged(back, GREEN.vlan)], "not delivered exactly once, from port 4789 only"
    )
    return None


def _port_of(packet: bytes) -> int | None:
    found = (port for port in (_DEFAULT, _OTHER) if frames.parse_vxlan(packet, port))
    return next(found, None)


@row("N25", "5", "SHOULD", "The destination port can be configured", OTHER_PORT, option=True)
def other_port(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = frame(here, there)
    seen = bed.traffic.from_vm(made)
    sent = any(packet.inner == made for packet in seen.tunnel)
    seen.claim(sent, "a frame to a known VTEP was not sent to port 8472")
    claim_flooded(bed, bed.segments[0], frame(here, BROADCAST), "a broadcast")
    stray = bed.packets.vxlan(frame(there, here), port=_DEFAULT)
    seen = bed.traffic.from_remote(stray, bed.packets.vxlan(frame(there, here)))
    seen.claim(len(seen.port) == 1, "not delivered exactly once, from port 8472 only")
    return None


def _flows(bed: TestBed, count: int, ipv6: bool = False) -> list[bytes]:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    return [ip_frame(here, there, ipv6=ipv6, sport=20000 + 7 * flow) for flow in range(count)]


@row("N26", "5", "RECOMMENDED", "The source port is a hash of the inner frame's fields")
def source_port_hash(bed: TestBed) -> Finding | None:
    spread = []
    for ipv6 in (False, True):
        flows = _flows(bed, 10, ipv6)
        seen = bed.traffic.from_vm(*flows, *flows[:1] * 9)
        ports = [packet.source_port for packet in seen.tunnel]
        seen.claim(len(ports) == 19, f"{len(ports)} of 19 frames were sent")
        first = {packet.source_port for packet in seen.tunnel if packet.inner == flows[0]}
        seen.claim(len(first) == 1, "one flow has several source ports")
        seen.claim(len(set(ports)) >= 2, f"10 flows share source port {ports[0]}")
        spread.append(len(set(ports)))
    return conforms(f"10 IPv4 flows: {spread[0]} ports; 10 IPv6 flows: {spread[1]} ports")


@row("N26.macs", "5", "plain", "The source port of frames that are not IP depends on their MACs")
def source_port_of_macs(bed: TestBed) -> Finding | None:
    made = [frame(bed.packets.vm_mac(), BROADCAST) for _ in range(10)]
    seen = bed.traffic.from_vm(*made)
    ports = {packet.source_port for packet in seen.tunnel}
    seen.claim(len(ports) >= 2, "10 senders share one source port")
    return conforms(f"10 senders: {len(ports)} ports")


@row("N27", "5", "RECOMMENDED", "The source port is in 49152-65535")
def source_port_range(bed: TestBed) -> Finding | None:
    made = _flows(bed, 200)
    seen = bed.traffic.from_vm(*made)
    ports = [packet.source_port for packet in seen.tunnel]
    low, high = min(ports, default=0), max(ports, default=0)
    seen.claim(low >= _FIRST and high <= _LAST, f"source ports from {low} to {high}")
    return conforms(f"200 flows: {low} to {high}")


@row("N27.range", "5", "plain", "Option: the source port is in another range", RANGE)
def source_port_range_configured(bed: TestBed) -> Finding | None:
    made = _flows(bed, 100)
    seen = bed.traffic.from_vm(*made)
    ports = [packet.source_port for packet in seen.tunnel]
    low, high = min(ports, default=0), max(ports, default=0)
    first, last = SOURCE_PORTS
    seen.claim(first <= low and high <= last, f"source ports {low} to {high}, not {first}-{last}")
    return conforms(f"100 flows: {len(set(ports))} of {last - first + 1} ports")


@row("N28", "5", "SHOULD", "Over IPv4, the UDP checksum is sent as zero")
def zero_checksum_sent(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    sums = {packet.udp_checksum for packet in seen.tunnel}
    seen.claim(sums == {0}, f"checksums sent: {sorted(sums)[:4]}")
    return None


@row("N29", "5", "MUST", "A packet with a zero checksum is accepted")
def zero_checksum_received(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, udp_checksum=0))
    seen.claim(seen.port == [tagged(made, GREEN.vlan)], "a packet without a checksum was dropped")
    return None


@row("N30", "5", "MUST", "A checksum that is sent is correct for the entire packet", CHECKSUM)
def checksum_sent_is_right(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = [frame(here, BROADCAST, bytes(range(size))) for size in range(46, 78)]
    made += [ip_frame(here, there, size=size) for size in (1399, 1400, 1500)]
    made += [frame(here, BROADCAST, b"\xff" * 64), frame(here, BROADCAST, bytes(64))]
    seen = bed.traffic.from_vm(*made)
    seen.claim(len(seen.tunnel) >= len(made), "not all frames were sent")
    for packet in seen.tunnel:
        right = packet.udp_checksum in (0, packet.correct_checksum)
        found = f"{packet.udp_checksum:#06x}, correct is {packet.correct_checksum:#06x}"
        seen.claim(right, f"checksum {found}")
    if not any(packet.udp_checksum for packet in seen.tunnel):
        return allowed("no checksum is sent, although it is configured")
    return conforms(f"{len(seen.tunnel)} packets")


def _with_wrong_checksum(bed: TestBed) -> tuple[bytes, bytes]:
    made = frame(bed.packets.remote_mac(), BROADCAST, b"wrong")
    packet = frames.parse_vxlan(bed.packets.vxlan(made, udp_checksum=None), bed.setup.port)
    assert packet is not None
    return made, bed.packets.vxlan(made, udp_checksum=packet.udp_checksum ^ 0x0101)


@row("N31", "5", "MAY", "The receiver may verify a checksum that is not zero")
def checksum_verified(bed: TestBed) -> Finding | None:
    _, packet = _with_wrong_checksum(bed)
    return allowed("not verified" if bed.traffic.from_remote(packet).port else "verified")


@row("N32", "5", "MUST", "A packet with a wrong checksum is dropped, if the receiver verifies it")
def wrong_checksum_dropped(bed: TestBed) -> Finding | None:
    made, packet = _with_wrong_checksum(bed)
    seen = bed.traffic.from_remote(packet, count=True)
    if seen.port == [tagged(made, GREEN.vlan)]:
        return allowed("checksums are not verified")
    seen.claim(not seen.port, "a packet with a wrong checksum came out changed")
    return conforms(f"dropped ({seen.counted or 'by the host, not counted by the VTEP'})")


@row("N33", "5", "MUST", "A packet whose checksum is correct, or not verified, is accepted")
def right_checksum_received(bed: TestBed) -> Finding | None:
    for size in (46, 47, 60, 1473, 1500):
        made = frame(bed.packets.remote_mac(), BROADCAST, bytes(range(256)) * 6)[: size + 14]
        seen = bed.traffic.from_remote(bed.packets.vxlan(made, udp_checksum=None))
        seen.claim(
            seen.port == [tagged(made, GREEN.vlan)],
            f"{size} bytes with a correct checksum were not delivered",
        )
    return None


@row("N24.source", "5", "plain", "Any source port is accepted; only the VNI decides")
def any_source_port(bed: TestBed) -> Finding | None:
    for port in (1, 4789, 33000, 65535):
        made = frame(bed.packets.remote_mac(), BROADCAST)
        outer = bed.packets.outer(source_port=port)
        seen = bed.traffic.from_remote(outer.packet(vxlan_header(GREEN.vni) + made))
        seen.claim(seen.port == [tagged(made, GREEN.vlan)], f"source port {port}: not delivered")
    return None
