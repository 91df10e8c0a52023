"""Section 5: ports, source-port entropy and UDP checksums."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.bench import Bench
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
from vxlab.conformance.verdict import Finding, allowed, conforms

_DEFAULT, _OTHER = 4789, 8472
_FIRST, _LAST = 49152, 65535


@row("N24", "5", "SHOULD", "The default destination port is 4789", DEFAULT_PORT, option=True)
def default_port(bench: Bench) -> Finding | None:
    made = frame(bench.fresh_mac(), BROADCAST)
    seen = bench.from_vm(made)
    ports = {_port_of(packet) for packet in seen.underlay} - {None}
    seen.claim(ports == {_DEFAULT}, f"destination ports {ports}")
    back = frame(bench.fresh_mac(0x57), BROADCAST)
    seen = bench.from_remote(bench.packet(back), bench.packet(back, port=_OTHER))
    seen.claim(seen.port == [tagged(back, GREEN.vlan)], "not delivered once, from port 4789 alone")
    return None


def _port_of(packet: bytes) -> int | None:
    found = (port for port in (_DEFAULT, _OTHER) if frames.carried(packet, port))
    return next(found, None)


@row("N25", "5", "SHOULD", "The destination port can be configured", OTHER_PORT, option=True)
def other_port(bench: Bench) -> Finding | None:
    here, there = bench.fresh_mac(), bench.fresh_mac(0x57)
    learn(bench, there)
    made = frame(here, there)
    seen = bench.from_vm(made)
    sent = any(packet.inner == made for packet in seen.tunnel)
    seen.claim(sent, "a frame to a known VTEP was not sent to port 8472")
    claim_flooded(bench, bench.segments[0], frame(here, BROADCAST), "a broadcast")
    stray = bench.packet(frame(there, here), port=_DEFAULT)
    seen = bench.from_remote(stray, bench.packet(frame(there, here)))
    seen.claim(len(seen.port) == 1, "not delivered once, from port 8472 alone")
    return None


def _flows(bench: Bench, count: int, ipv6: bool = False) -> list[bytes]:
    here, there = bench.fresh_mac(), bench.fresh_mac(0x57)
    learn(bench, there)
    return [ip_frame(here, there, ipv6=ipv6, sport=20000 + 7 * flow) for flow in range(count)]


@row("N26", "5", "RECOMMENDED", "The source port is a hash of the inner frame's fields")
def source_port_hash(bench: Bench) -> Finding | None:
    spread = []
    for ipv6 in (False, True):
        flows = _flows(bench, 10, ipv6)
        seen = bench.from_vm(*flows, *flows[:1] * 9)
        ports = [packet.source_port for packet in seen.tunnel]
        seen.claim(len(ports) == 19, f"of 19 frames {len(ports)} were sent")
        first = {packet.source_port for packet in seen.tunnel if packet.inner == flows[0]}
        seen.claim(len(first) == 1, "one flow does not keep to one port")
        seen.claim(len(set(ports)) >= 2, f"ten flows share port {ports[0]}")
        spread.append(len(set(ports)))
    return conforms(f"10 IPv4 flows: {spread[0]} ports; 10 IPv6 flows: {spread[1]} ports")


@row("N26.macs", "5", "plain", "Flows that are not IP differ by their MACs")
def source_port_of_macs(bench: Bench) -> Finding | None:
    made = [frame(bench.fresh_mac(), BROADCAST) for _ in range(10)]
    seen = bench.from_vm(*made)
    ports = {packet.source_port for packet in seen.tunnel}
    seen.claim(len(ports) >= 2, "ten senders share one source port")
    return conforms(f"10 senders: {len(ports)} ports")


@row("N27", "5", "RECOMMENDED", "The source port lies in 49152-65535")
def source_port_range(bench: Bench) -> Finding | None:
    made = _flows(bench, 200)
    seen = bench.from_vm(*made)
    ports = [packet.source_port for packet in seen.tunnel]
    low, high = min(ports, default=0), max(ports, default=0)
    seen.claim(low >= _FIRST and high <= _LAST, f"source ports from {low} to {high}")
    return conforms(f"200 flows: {low} to {high}")


@row("N27.range", "5", "plain", "Optionally the source port lies in another range", RANGE)
def source_port_range_configured(bench: Bench) -> Finding | None:
    made = _flows(bench, 100)
    seen = bench.from_vm(*made)
    ports = [packet.source_port for packet in seen.tunnel]
    low, high = min(ports, default=0), max(ports, default=0)
    first, last = SOURCE_PORTS
    seen.claim(first <= low and high <= last, f"source ports {low} to {high}, not {first}-{last}")
    return conforms(f"100 flows: {len(set(ports))} of {last - first + 1} ports")


@row("N28", "5", "SHOULD", "The UDP checksum is sent as zero (over IPv4)")
def zero_checksum_sent(bench: Bench) -> Finding | None:
    seen = all_ways_out(bench)
    sums = {packet.udp_checksum for packet in seen.tunnel}
    seen.claim(sums == {0}, f"checksums sent: {sorted(sums)[:4]}")
    return None


@row("N29", "5", "MUST", "A zero checksum is accepted")
def zero_checksum_received(bench: Bench) -> Finding | None:
    made = frame(bench.fresh_mac(0x57), BROADCAST)
    seen = bench.from_remote(bench.packet(made, udp_checksum=0))
    seen.claim(seen.port == [tagged(made, GREEN.vlan)], "a packet without checksum was dropped")
    return None


@row("N30", "5", "MUST", "A checksum that is sent is right, over the whole packet", CHECKSUM)
def checksum_sent_is_right(bench: Bench) -> Finding | None:
    here, there = bench.fresh_mac(), bench.fresh_mac(0x57)
    learn(bench, there)
    made = [frame(here, BROADCAST, bytes(range(size))) for size in range(46, 78)]
    made += [ip_frame(here, there, size=size) for size in (1399, 1400, 1500)]
    made += [frame(here, BROADCAST, b"\xff" * 64), frame(here, BROADCAST, bytes(64))]
    seen = bench.from_vm(*made)
    seen.claim(len(seen.tunnel) >= len(made), "not all frames were sent")
    for packet in seen.tunnel:
        right = packet.udp_checksum in (0, packet.right_checksum)
        found = f"{packet.udp_checksum:#06x}, and {packet.right_checksum:#06x} is right"
        seen.claim(right, f"checksum {found}")
    if not any(packet.udp_checksum for packet in seen.tunnel):
        return allowed("the option makes no checksum")
    return conforms(f"{len(seen.tunnel)} packets")


def _with_wrong_checksum(bench: Bench) -> tuple[bytes, bytes]:
    made = frame(bench.fresh_mac(0x57), BROADCAST, b"wrong")
    packet = frames.carried(bench.packet(made, udp_checksum=None), bench.setup.port)
    assert packet is not None
    return made, bench.packet(made, udp_checksum=packet.udp_checksum ^ 0x0101)


@row("N31", "5", "MAY", "The receiver may verify a checksum that is not zero")
def checksum_verified(bench: Bench) -> Finding | None:
    _, packet = _with_wrong_checksum(bench)
    return allowed("not verified" if bench.from_remote(packet).port else "verified")


@row("N32", "5", "MUST", "If it verifies and the checksum is wrong, it drops")
def wrong_checksum_dropped(bench: Bench) -> Finding | None:
    made, packet = _with_wrong_checksum(bench)
    seen = bench.from_remote(packet, count=True)
    if seen.port == [tagged(made, GREEN.vlan)]:
        return allowed("it does not verify")
    seen.claim(not seen.port, "a packet with a wrong checksum came out changed")
    return conforms(f"dropped ({seen.counted or 'by the host, not counted by the VTEP'})")


@row("N33", "5", "MUST", "A packet whose checksum is right, or not verified, is accepted")
def right_checksum_received(bench: Bench) -> Finding | None:
    for size in (46, 47, 60, 1473, 1500):
        made = frame(bench.fresh_mac(0x57), BROADCAST, bytes(range(256)) * 6)[: size + 14]
        seen = bench.from_remote(bench.packet(made, udp_checksum=None))
        seen.claim(
            seen.port == [tagged(made, GREEN.vlan)], f"{size} bytes, right checksum: not delivered"
        )
    return None


@row("N24.source", "5", "plain", "Any source port is accepted, and the VNI alone decides")
def any_source_port(bench: Bench) -> Finding | None:
    for port in (1, 4789, 33000, 65535):
        made = frame(bench.fresh_mac(0x57), BROADCAST)
        outer = bench.outer(source_port=port)
        seen = bench.from_remote(outer.packet(vxlan_header(GREEN.vni) + made))
        seen.claim(seen.port == [tagged(made, GREEN.vlan)], f"source port {port}: not delivered")
    return None
