"""Section 5: the VXLAN header with its flags and reserved bits, and the VTEP's addresses."""

from __future__ import annotations

from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, I_FLAG, frame, ip_frame, tagged, vxlan_header
from vxlab.conformance.observation import Observation
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import BASE, BLUE, GREEN, LARGE, STRICT
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, conforms

_OTHER_FLAGS = tuple(1 << bit for bit in range(8) if 1 << bit != I_FLAG)
_RESERVED = tuple(("reserved", 1 << bit) for bit in range(24)) + tuple(
    ("last", 1 << bit) for bit in range(8)
)


def all_ways_out(bed: TestBed) -> Observation:
    """Every kind of packet that a VTEP sends, in each VNI: unicast, unknown, broadcast, multicast.

    Other rows judge whether the VTEP sends each kind.
    """
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = [
        ip_frame(here, there),
        ip_frame(here, there, ipv6=True),
        frame(here, bed.packets.vm_mac()),
        frame(here, BROADCAST),
        frame(here, "33:33:00:00:00:01"),
    ]
    numbers = [segment.vlan for segment in bed.segments]
    seen = bed.traffic.exchange(port=[tagged(each, vlan) for vlan in numbers for each in made])
    seen.claim(seen.tunnel, "nothing was sent")
    return seen


def _injected(bed: TestBed, header: bytes) -> tuple[Observation, bytes]:
    """Send a frame behind a VXLAN header that is given."""
    made = frame(bed.packets.remote_mac(), bed.packets.vm_mac())
    return bed.traffic.from_remote(bed.packets.outer().packet(header + made), count=True), made


@row("N19", "5", "MUST", "The I flag is 1 for a valid VNI; packets without it are dropped")
def vni_flag(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    seen.claim(
        all(packet.header[0] & I_FLAG for packet in seen.tunnel),
        "a packet was sent with the I flag 0",
    )
    for flags in (0, 0xFF & ~I_FLAG):
        seen, _ = _injected(bed, vxlan_header(GREEN.vni, flags=flags))
        seen.claim(
            not seen.port, f"flags {flags:#04x}: the I flag is 0, but the frame was delivered"
        )
    return conforms(f"I flag 0: dropped ({seen.counted or 'not counted'})")


@row("N20", "5", "MUST", "The other seven flag bits are sent as 0")
def other_flags_sent(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    flags = {packet.header[0] & ~I_FLAG for packet in seen.tunnel}
    seen.claim(flags == {0}, f"flags sent: {', '.join(f'{each:#04x}' for each in flags)}")
    return None


@row("N21", "5", "MUST", "The other seven flag bits are ignored on receipt (each bit is tried)")
def other_flags_received(bed: TestBed) -> Finding | None:
    headers = {f"{bit:#04x}": vxlan_header(GREEN.vni, flags=I_FLAG | bit) for bit in _OTHER_FLAGS}
    _claim_ignored(bed, headers, "flag bits")
    return None


@row("N22", "5", "MUST", "The 24 and 8 reserved bits are sent as 0")
def reserved_bits_sent(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    sent = {packet.header[1:4] + packet.header[7:8] for packet in seen.tunnel}
    seen.claim(sent == {bytes(4)}, f"reserved bytes sent: {', '.join(each.hex() for each in sent)}")
    return None


@row("N23", "5", "MUST", "The 32 reserved bits are ignored on receipt (each bit is tried)")
def reserved_bits_received(bed: TestBed) -> Finding | None:
    headers = {
        f"{where} {bit:#x}": vxlan_header(GREEN.vni, **{where: bit}) for where, bit in _RESERVED
    }
    _claim_ignored(bed, headers, "reserved bits")
    return None


def _claim_ignored(bed: TestBed, headers: dict[str, bytes], what: str) -> None:
    first: Observation | None = None
    dropped = []
    for name, header in headers.items():
        seen, made = _injected(bed, header)
        if seen.port != [tagged(made, GREEN.vlan)]:
            dropped.append(name)
            first = first or seen
    if first is not None:
        which = "all" if len(dropped) == len(headers) else ", ".join(dropped)
        count = f"{len(dropped)} of {len(headers)}"
        first.claim(False, f"frames dropped for {count} {what}: {which} ({first.counted or '-'})")


@row(
    "N21.strict",
    "5",
    "plain",
    "Option strict: a packet with any of these 39 bits set is dropped",
    STRICT,
)
def strict_drops(bed: TestBed) -> Finding | None:
    headers = [vxlan_header(GREEN.vni, flags=I_FLAG | bit) for bit in _OTHER_FLAGS]
    headers += [vxlan_header(GREEN.vni, **{where: bit}) for where, bit in _RESERVED]
    for header in headers:
        seen, _ = _injected(bed, header)
        seen.claim(not seen.port, f"header {header.hex()}: the frame was delivered")
    return conforms(f"{len(headers)} of {len(headers)} dropped ({seen.counted or 'not counted'})")


@row(
    "N34", "5", "plain", "The outer source is the VTEP's address, the destination a remote or group"
)
def outer_addresses(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    sources = {packet.source for packet in seen.tunnel}
    seen.claim(sources == {bed.setup.own}, f"outer sources {sources}, not {bed.setup.own}")
    groups = {segment.group for segment in bed.segments} if bed.multicast else set()
    destinations = {packet.destination for packet in seen.tunnel}
    strange = destinations - groups - set(bed.remotes)
    seen.claim(not strange, f"outer destinations {strange} are neither a group nor a remote")
    return None


@row("N35", "5", "plain", "The inner FCS is not carried, and the length fields are correct")
def lengths(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    for size in (60, 61, 64, 1000, 1513, 1514):
        made = frame(here, there, bytes(size - 14))
        seen = bed.traffic.from_vm(made)
        seen.claim(len(seen.tunnel) == 1, f"a frame of {size} bytes did not become one packet")
        (packet,) = seen.tunnel
        inner = len(packet.inner)
        seen.claim(inner == size, f"a frame of {size} bytes became {inner} bytes")
        seen.claim(packet.udp_length == size + 16, f"UDP length {packet.udp_length} for {size}")
        seen.claim(not packet.trailer, f"{len(packet.trailer)} bytes behind the packet")
    return None


@row(
    "N1.order",
    "5",
    "plain",
    "The VNI is in bytes 4 to 6 of the header, in network byte order",
    BASE,
)
def vni_order(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.vm_mac(), BROADCAST)
    seen = bed.traffic.exchange(port=[tagged(made, LARGE.vlan)])
    headers = {packet.header.hex() for packet in seen.tunnel}
    seen.claim(headers == {"08000000abcdef00"}, f"headers {headers}")
    return None


@row("N34.mix", "4.1", "plain", "Interleaved frames of several VNIs and remotes do not mix")
def interleaved(bed: TestBed) -> Finding | None:
    macs = [bed.packets.remote_mac() for _ in range(4)]
    places = [(macs[0], 0, GREEN), (macs[1], 1, GREEN), (macs[2], 0, BLUE), (macs[3], 1, BLUE)]
    for mac, remote, segment in places:
        learn(bed, mac, remote, segment.vni)
    here = bed.packets.vm_mac()
    made = [tagged(frame(here, mac), segment.vlan) for mac, _, segment in places] * 5
    seen = bed.traffic.exchange(port=made)
    found = [(packet.inner[:6], packet.vni, packet.destination) for packet in seen.tunnel]
    expected = [
        (bytes.fromhex(mac.replace(":", "")), segment.vni, bed.remotes[remote])
        for mac, remote, segment in places * 5
    ]
    text = "not every frame went to its own VTEP with its own VNI"
    seen.claim(sorted(found) == sorted(expected), text)
    return None
