"""Invalid input: truncated, wrong, forged, looped and random packets.

RFC 7348 does not mention most of it. A VTEP must survive it, deliver only frames that were sent
completely, and send nothing back into a tunnel.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from scapy.layers.inet import IP, fragment
from scapy.layers.l2 import Ether

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, ip_frame, tagged, vxlan_header
from vxlab.conformance.observation import Observation
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import GREEN, STATIC_MAC
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, allowed, conforms

_OTHERS_MAC = "02:52:00:00:00:99"


def _remote_frame(bed: TestBed) -> bytes:
    return frame(bed.packets.remote_mac(), BROADCAST)


def _claim_nothing(bed: TestBed, what: str, *packets: bytes) -> str:
    """Claim that the VTEP ignores these packets; returns the drop counters that rose."""
    seen = bed.traffic.from_remote(*packets, count=True)
    seen.claim(not seen.port, f"{what}: a frame was delivered")
    seen.claim(not seen.tunnel, f"{what}: a packet was sent into the tunnel")
    return seen.counted or "not counted"


@row("M1", "5", "plain", "A datagram shorter than a VXLAN header is dropped")
def short_header(bed: TestBed) -> Finding | None:
    header = vxlan_header(GREEN.vni)
    packets = [bed.packets.outer().packet(header[:size]) for size in range(8)]
    return conforms(_claim_nothing(bed, "0 to 7 bytes", *packets))


@row("M2", "5", "plain", "A packet with less than an Ethernet header inside is dropped")
def short_inner(bed: TestBed) -> Finding | None:
    made = vxlan_header(GREEN.vni) + _remote_frame(bed)
    packets = [bed.packets.outer().packet(made[: 8 + size]) for size in range(14)]
    return conforms(_claim_nothing(bed, "0 to 13 bytes of a frame", *packets))


@row("M3", "5", "plain", "A packet whose UDP length exceeds the packet is dropped")
def long_udp_length(bed: TestBed) -> Finding | None:
    made = vxlan_header(GREEN.vni) + _remote_frame(bed)
    packets = [
        bed.packets.outer(udp_length=length).packet(made) for length in (len(made) + 9, 1500, 65535)
    ]
    return conforms(_claim_nothing(bed, "UDP length too long", *packets))


@row("M4", "5", "plain", "A UDP length below the packet's truncates the frame or drops the packet")
def short_udp_length(bed: TestBed) -> Finding | None:
    inner = _remote_frame(bed)
    made = vxlan_header(GREEN.vni) + inner
    packets = [
        bed.packets.outer(udp_length=length).packet(made) for length in (0, 7, 8, 15, 16, 29)
    ]
    _claim_nothing(bed, "UDP length too short for a frame", *packets)
    seen = bed.traffic.from_remote(bed.packets.outer(udp_length=8 + len(made) - 10).packet(made))
    cut = tagged(inner[:-10], GREEN.vlan)
    seen.claim(seen.port in ([], [cut]), "bytes after the UDP datagram were delivered")
    return conforms("truncated to the UDP length" if seen.port else "dropped")


@row("M5", "5", "plain", "A packet whose IP header has a wrong length or version is dropped")
def lying_ip_header(bed: TestBed) -> Finding | None:
    inner = _remote_frame(bed)
    lies = [("len", 2000), ("len", 20), ("len", 0), ("version", 5), ("ihl", 4), ("ihl", 15)]
    packets = [bed.packets.vxlan(inner, changes=(lie,)) for lie in lies]
    return conforms(_claim_nothing(bed, "a wrong IP length or version", *packets))


@row("M6", "5", "plain", "A packet with a wrong IP header checksum is dropped")
def wrong_ip_checksum(bed: TestBed) -> Finding | None:
    packet = bed.packets.vxlan(_remote_frame(bed), changes=(("chksum", 0x1234),))
    return conforms(_claim_nothing(bed, "a wrong IP header checksum", packet))


@row("M7", "5", "plain", "Bytes after the IP packet (Ethernet padding) are not delivered")
def padding_behind(bed: TestBed) -> Finding | None:
    inner = _remote_frame(bed)
    seen = bed.traffic.from_remote(bed.packets.vxlan(inner) + b"padding.")
    seen.claim(
        seen.port == [tagged(inner, GREEN.vlan)], "the frame was not delivered as it was sent"
    )
    return None


@row("M8", "4.3", "plain", "Incomplete, repeated and overlapping fragments give no wrong frame")
def broken_fragments(bed: TestBed) -> Finding | None:
    inner = ip_frame(bed.packets.remote_mac(), BROADCAST, size=1200)
    results = set()
    for number, pieces in enumerate(_mishandled(bed.packets.vxlan(inner))):
        seen = bed.traffic.from_remote(*pieces)
        whole = tagged(inner, GREEN.vlan)
        seen.claim(
            set(seen.port) <= {whole}, f"case {number}: a frame was delivered that was never sent"
        )
        results.add("a frame" if seen.port else "nothing")
    return conforms(f"delivered: {' or '.join(sorted(results))}")


def _mishandled(packet: bytes) -> Iterator[list[bytes]]:
    outer = Ether(packet)
    for number in range(4):
        outer[IP].id = 7000 + number
        pieces = fragment(outer[IP].copy(), 400)
        wire = [bytes(Ether(src=outer.src, dst=outer.dst) / piece) for piece in pieces]
        if number == 0:
            yield wire[1:]  # no first
        elif number == 1:
            yield wire[:-1]  # no last
        elif number == 2:
            yield [wire[0], *wire]  # one twice
        else:
            pieces[1].frag -= 5  # RFC 5722: overlapping
            moved = bytes(Ether(src=outer.src, dst=outer.dst) / pieces[1])
            yield [wire[0], moved, *wire[2:]]


@row("M9", "4.1", "plain", "A packet with the VTEP's own address as outer source is dropped")
def own_source(bed: TestBed) -> Finding | None:
    mac = bed.packets.remote_mac()
    made = frame(mac, BROADCAST)
    own, group = bed.setup.own, GREEN.group if bed.multicast else None
    counted = _claim_nothing(
        bed,
        "own address",
        bed.packets.vxlan(made, source=own),
        bed.packets.vxlan(made, source=own, to=group),
    )
    seen = bed.traffic.from_vm(frame(bed.packets.vm_mac(), mac))
    to = {packet.destination for packet in seen.tunnel}
    seen.claim(bed.setup.own not in to, "it learned its own address as a remote")
    return conforms(counted)


@row("M10", "4.2", "plain", "The VTEP's own flooded packet is not delivered if it comes back")
def own_echo(bed: TestBed) -> Finding | None:
    here = bed.packets.vm_mac()
    seen = bed.traffic.from_vm(frames.arp_request(here))
    _claim_nothing(bed, "its own packet", *(packet.raw for packet in seen.tunnel))
    seen = bed.traffic.from_remote(bed.packets.vxlan(frame(bed.packets.remote_mac(), here)))
    seen.claim(len(seen.port) == 1, "after its own packet it no longer delivers to the VM")
    return None


@row("M11", "4.1", "plain", "Frames from a tunnel are never sent into a tunnel (no loops)")
def no_loops(bed: TestBed) -> Finding | None:
    behind = bed.packets.remote_mac()
    learn(bed, behind, remote=1)
    source = bed.packets.remote_mac()
    group = GREEN.group if bed.multicast else None
    for destination in (BROADCAST, "01:00:5e:00:00:fb", bed.packets.vm_mac(), behind, STATIC_MAC):
        packets = [bed.packets.vxlan(frame(source, destination), to=to) for to in (None, group)]
        seen = bed.traffic.from_remote(*packets)
        seen.claim(not seen.tunnel, f"a frame for {destination} was sent into the tunnel again")
    return None


@row("M12", "5", "plain", "A VXLAN packet inside a VXLAN packet is treated like any frame")
def nested(bed: TestBed) -> Finding | None:
    core = _remote_frame(bed)
    inner = bed.packets.vxlan(core, to=bed.remotes[2])
    seen = bed.traffic.from_remote(bed.packets.vxlan(inner))
    seen.claim(
        seen.port == [tagged(inner, GREEN.vlan)], "the frame was not delivered as it was sent"
    )
    unpacked = core in seen.port or any(packet.inner == core for packet in seen.tunnel)
    seen.claim(not unpacked, "the inner packet was decapsulated as well")
    return None


@row("M13", "4.1", "plain", "A multicast, broadcast or zero source MAC is never learned")
def strange_sources(bed: TestBed) -> Finding | None:
    for mac in ("03:57:00:00:00:01", "01:00:5e:01:02:03", BROADCAST, "00:00:00:00:00:00"):
        bed.traffic.from_remote(bed.packets.vxlan(frame(mac, BROADCAST)))
        seen = bed.traffic.from_vm(frame(bed.packets.vm_mac(), mac))
        to = {packet.destination for packet in seen.tunnel}
        flood = {GREEN.group} if bed.multicast else set(bed.remotes)
        seen.claim(to in (flood, set()), f"a frame to {mac} is no longer flooded, but sent to {to}")
    return None


@row("M14", "5", "plain", "A packet to another IP address or another MAC is not accepted")
def for_others(bed: TestBed) -> Finding | None:
    made = _remote_frame(bed)
    packets = [
        bed.packets.vxlan(made, to="192.0.2.77"),
        bed.packets.vxlan(made, destination_mac=_OTHERS_MAC),
        bed.packets.vxlan(made, to="239.1.1.99"),
    ]
    _claim_nothing(bed, "a packet to another address", *packets)
    return None


@row("M15", "5", "plain", "An invalid outer source (group, loopback, zero) is not learned")
def impossible_sources(bed: TestBed) -> Finding | None:
    outcome = set()
    for source in ("239.1.1.10", "127.0.0.1", "0.0.0.0", "255.255.255.255"):
        mac = bed.packets.remote_mac()
        seen = bed.traffic.from_remote(bed.packets.vxlan(frame(mac, BROADCAST), source=source))
        outcome.add("delivered" if seen.port else "dropped")
        seen = bed.traffic.from_vm(frame(bed.packets.vm_mac(), mac))
        to = {packet.destination for packet in seen.tunnel}
        flood = {GREEN.group} if bed.multicast else set(bed.remotes)
        seen.claim(to in (flood, set()), f"{source} was learned as a remote: sent to {to}")
    return conforms(" or ".join(sorted(outcome)))


@row("M16", "5", "plain", "Malformed packets in valid frames do no harm, in either direction")
def broken_inside(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    bodies = list(_broken_bodies())
    for ethertype, body in bodies:
        out = frame(here, there, body, ethertype)
        back = frame(there, here, body, ethertype)
        seen = bed.traffic.from_vm(out)
        inner = [packet.inner for packet in seen.tunnel]
        seen.claim(inner in ([], [out]), "a malformed packet was changed when it was encapsulated")
        for tos in (0, 3):
            seen = bed.traffic.from_remote(bed.packets.vxlan(back, tos=tos))
            whole = tagged(back, GREEN.vlan)
            seen.claim(
                seen.port in ([], [whole]) or tos,
                "a malformed packet was changed when it was decapsulated",
            )
    return conforms(f"{len(bodies)} kinds, both directions")


def _broken_bodies() -> Iterator[tuple[int, bytes]]:
    """Ethertype and payload: headers that are truncated, or have a wrong length or version."""
    for ethertype in (0x0800, 0x86DD, 0x0806, 0x0000, 0x05DC):
        for body in (b"", b"\x45", b"\x4f" + bytes(40), b"\x60" + bytes(20), b"\xff" * 46):
            yield ethertype, body


@row("M17", "5", "plain", "Frames of 14 and 15 bytes do no harm at either port")
def tiny_frames(bed: TestBed) -> Finding | None:
    made = frame(bed.packets.vm_mac(), BROADCAST)
    seen = bed.traffic.from_vm(made[:14], made[:15])
    out = "sent" if seen.tunnel else "not sent"
    back = _remote_frame(bed)
    seen = bed.traffic.from_remote(bed.packets.vxlan(back[:14]), bed.packets.vxlan(back[:15]))
    return allowed(
        f"from the VM: {out}; from the tunnel: {'delivered' if seen.port else 'not delivered'}"
    )


@row("M18", "5", "plain", "400 random UDP payloads: only valid frames are delivered")
def random_payloads(bed: TestBed) -> Finding | None:
    dice = random.Random(7348)
    vnis = {segment.vni for segment in bed.segments}
    payloads = [dice.randbytes(dice.randrange(0, 200)) for _ in range(400)]
    seen = bed.traffic.from_remote(*(bed.packets.outer().packet(each) for each in payloads))
    fit = [each for each in payloads if len(each) >= 22 and each[0] & frames.I_FLAG]
    valid = [each for each in fit if int.from_bytes(each[4:7], "big") in vnis]
    seen.claim(
        len(seen.port) <= len(valid),
        f"{len(seen.port)} frames were delivered, {len(valid)} were valid",
    )
    seen.claim(not seen.tunnel, "a packet was sent into the tunnel")
    return None


@row("M19", "5", "plain", "200 random frames at the VM port do no harm")
def random_frames(bed: TestBed) -> Finding | None:
    dice = random.Random(4789)
    head = bytes.fromhex("ffffffffffff") + bytes.fromhex(bed.packets.vm_mac().replace(":", ""))
    made = [head + dice.randbytes(dice.randrange(2, 200)) for _ in range(200)]
    seen = bed.traffic.exchange(port=[tagged(each, GREEN.vlan) for each in made])
    _claim_sent_whole(seen, made)
    return conforms(f"{len(seen.tunnel)} of {len(made)} were sent")


def _claim_sent_whole(seen: Observation, made: list[bytes]) -> None:
    for packet in seen.tunnel:
        whole = any(packet.inner[:40] == each[: len(packet.inner[:40])] for each in made)
        seen.claim(whole, "a frame was sent that was not received")


@row("M20", "5", "plain", "Each of the 64 header bits is flipped: no wrong frame is delivered")
def flipped_bits(bed: TestBed) -> Finding | None:
    inner = _remote_frame(bed)
    header = vxlan_header(GREEN.vni)
    vnis = {segment.vni for segment in bed.segments}
    for bit in range(64):
        flipped = (int.from_bytes(header, "big") ^ 1 << bit).to_bytes(8, "big")
        seen = bed.traffic.from_remote(bed.packets.outer().packet(flipped + inner))
        valid = flipped[0] & frames.I_FLAG and int.from_bytes(flipped[4:7], "big") in vnis
        seen.claim(valid or not seen.port, f"header {flipped.hex()}: delivered")
    return None


@row("M21", "4.1", "plain", "A VM's frame is not sent back to the port it came from")
def nothing_comes_back(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    for destination in (BROADCAST, "01:00:5e:00:00:fb", bed.packets.vm_mac(), there, here):
        seen = bed.traffic.from_vm(frame(here, destination))
        seen.claim(not seen.port, f"a frame for {destination} was sent back to its port")
    return None
