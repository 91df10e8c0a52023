"""Section 4.3: fragments, and frames that are too big for the underlay."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, fragment
from scapy.layers.inet6 import ICMPv6PacketTooBig
from scapy.layers.l2 import Ether

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import ip_frame, tagged
from vxlab.conformance.observation import Observation
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import FIXED, GREEN, SILENT
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, allowed, conforms

_LARGEST = 1500  # an inner IP packet that just fits the underlay's MTU
_TOO_BIG = (1501, 1600, 3200)


def _oversized(bed: TestBed, ipv6: bool = False) -> Observation:
    """Send packets of a VM that are too big, to a known VTEP."""
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = [ip_frame(here, there, size=size, ipv6=ipv6, flags="DF") for size in _TOO_BIG]
    return bed.traffic.from_vm(*made, count=True)


@row("N14", "4.3", "MUST NOT", "A VTEP never fragments VXLAN packets")
def never_fragments(bed: TestBed) -> Finding | None:
    for flags in ("", "DF"):
        here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
        learn(bed, there)
        made = [ip_frame(here, there, size=size, flags=flags) for size in _TOO_BIG]
        seen = bed.traffic.from_vm(*made, count=True)
        seen.claim(not seen.fragments, f"{len(seen.fragments)} fragments of an oversized frame")
        longest = max((len(frames.untagged(packet)) - 14 for packet in seen.underlay), default=0)
        seen.claim(longest <= bed.setup.mtu, f"a packet of {longest} bytes exceeds the MTU")
        if seen.tunnel:
            whole = all(frames.is_fragment(packet.inner) for packet in seen.tunnel) and not flags
            seen.claim(whole, "an oversized frame was sent truncated")
            return conforms("the VM's own packet is fragmented, if it permits that")
    return conforms(f"dropped ({seen.counted or 'not counted'})")


@row("N15", "4.3", "MAY", "Routers on the path may fragment")
def routers_may_fragment(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    seen = bed.traffic.from_vm(ip_frame(here, there, size=1400), frames.arp_request(here))
    flags = {bool(int(packet.network.flags.DF)) for packet in seen.tunnel}
    seen.claim(flags, "nothing was sent")
    words = {True: "DF is set: routers report, but do not fragment", False: "DF is not set"}
    return allowed(" and ".join(sorted(words[each] for each in flags)))


@row("N15.clear", "4.3", "plain", "Option: DF is not set, and routers may fragment", FIXED)
def df_can_be_clear(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    seen = bed.traffic.from_vm(ip_frame(here, there, size=1400), frames.arp_request(here))
    flags = {bool(int(packet.network.flags.DF)) for packet in seen.tunnel}
    seen.claim(flags == {False}, "DF is set" if flags else "nothing was sent")
    return None


@row("N16", "4.3", "MAY", "The receiving VTEP may silently drop fragments")
def fragments_are_whole_or_nothing(bed: TestBed) -> Finding | None:
    made = ip_frame(bed.packets.remote_mac(), bed.packets.vm_mac(), size=1200)
    outer = Ether(bed.packets.vxlan(made))
    pieces = [
        bytes(Ether(src=outer.src, dst=outer.dst) / piece) for piece in fragment(outer[IP], 600)
    ]
    results = set()
    for order in (pieces, pieces[::-1]):
        seen = bed.traffic.from_remote(*order)
        whole = [tagged(made, GREEN.vlan)]
        seen.claim(seen.port in ([], whole), "a frame was delivered that was never sent")
        results.add("reassembled" if seen.port else "dropped")
    seen = bed.traffic.from_remote(pieces[0])
    seen.claim(not seen.port, "half a frame was delivered")
    return allowed(" or ".join(sorted(results)))


@row("N17", "4.3", "RECOMMENDED", "With an underlay MTU of inner + 50 bytes, full frames pass")
def full_frames_pass(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    out = ip_frame(here, there, size=_LARGEST)
    seen = bed.traffic.from_vm(out)
    seen.claim(
        [packet.inner for packet in seen.tunnel] == [out],
        "an inner packet of 1500 bytes was not sent",
    )
    back = ip_frame(there, here, size=_LARGEST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(back))
    seen.claim(
        seen.port == [tagged(back, GREEN.vlan)], "an inner packet of 1500 bytes was not delivered"
    )
    return None


@row("N18", "4.3", "MAY", "Path MTU discovery may be used: the VTEP sends the VM an ICMP error")
def vm_gets_icmp_error(bed: TestBed) -> Finding | None:
    return _icmp_error_finding(bed, _oversized(bed), ipv6=False)


@row("N18.ipv6", "4.3", "MAY", "Path MTU discovery may be used: ICMPv6 for IPv6 between VMs")
def vm_gets_icmpv6_error(bed: TestBed) -> Finding | None:
    return _icmp_error_finding(bed, _oversized(bed, ipv6=True), ipv6=True)


@row("N18.silent", "4.3", "plain", "Option: the VM gets no ICMP error", SILENT)
def vm_gets_no_icmp_error(bed: TestBed) -> Finding | None:
    seen = _oversized(bed)
    seen.claim(not seen.port, "a frame came back to the VM")
    seen.claim(not seen.tunnel, "an oversized frame was sent")
    return None


def _icmp_error_finding(bed: TestBed, seen: Observation, ipv6: bool) -> Finding:
    replies = [Ether(frames.untagged(each)) for each in seen.port]
    errors = [reply for reply in replies if _is_too_big(reply, ipv6)]
    if not errors:
        return allowed("not used: oversized frames are dropped silently")
    expected = bed.setup.mtu - 50
    mtus = {_mtu_of(reply, ipv6) for reply in errors}
    seen.claim(
        mtus == {expected}, f"the ICMP error gives an MTU of {mtus}, but {expected} would fit"
    )
    seen.claim(
        all(_checksums_correct(reply, ipv6) for reply in errors),
        "the ICMP error has a wrong checksum",
    )
    vm = {reply.dst for reply in errors}
    sent = {Ether(frames.untagged(packet.data)).src for packet in seen.sent}
    seen.claim(vm == sent, f"the ICMP error goes to {vm}, but the frames were from {sent}")
    return conforms(f"the ICMP error gives an MTU of {expected} bytes")


def _is_too_big(reply: Ether, ipv6: bool) -> bool:
    if ipv6:
        return ICMPv6PacketTooBig in reply
    return ICMP in reply and (reply[ICMP].type, reply[ICMP].code) == (3, 4)


def _mtu_of(reply: Ether, ipv6: bool) -> int:
    return int(reply[ICMPv6PacketTooBig].mtu if ipv6 else reply[ICMP].nexthopmtu)


def _checksums_correct(reply: Ether, ipv6: bool) -> bool:
    """Whether Scapy gets the same bytes when it computes the checksums again."""
    again = reply.copy()
    if ipv6:
        del again[ICMPv6PacketTooBig].cksum
    else:
        del again[ICMP].chksum
        del again[IP].chksum
    # The quoted packet is truncated, so its own checksums must not be computed again.
    quoted = bytes(reply[ICMPv6PacketTooBig].payload if ipv6 else reply[ICMP].payload)
    network = again.payload
    carrier = ICMPv6PacketTooBig if ipv6 else ICMP
    again[carrier].remove_payload()
    again[carrier].add_payload(quoted)
    return bytes(Ether(src=reply.src, dst=reply.dst) / network)[14:] == bytes(reply)[14:]
