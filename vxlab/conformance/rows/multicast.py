"""Section 4.2: broadcast, unknown unicast and multicast, and the groups they take."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.bench import Bench, Seen
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, tagged
from vxlab.conformance.igmp_reports import Report, reports
from vxlab.conformance.setups import BLUE, GREEN, LIFE, Segment
from vxlab.conformance.verdict import (
    Deviation,
    Finding,
    Hidden,
    Packet,
    conforms,
    unobservable,
)

_ADDED = {"vni": 30, "group": "239.9.1.30", "vlan": 3}
_REPORTS_WITHIN_S = 3.0
_NO_GROUPS = "this VTEP was given lists of remotes: it has no multicast"


def flooded_to(bench: Bench, segment: Segment) -> list[str]:
    """Where a flooded frame of a segment is to go."""
    return [segment.group] if bench.multicast else sorted(bench.remotes)


def claim_flooded(bench: Bench, segment: Segment, made: bytes, what: str) -> Seen:
    """A frame from the VM is flooded: one packet to the group of its VNI."""
    seen = bench.exchange(port=[tagged(made, segment.vlan)])
    to = sorted(packet.destination for packet in seen.tunnel)
    expected = flooded_to(bench, segment)
    seen.claim(to == expected, f"{what} of VNI {segment.vni} went to {to}, not to {expected}")
    seen.claim(all(packet.inner == made for packet in seen.tunnel), f"{what} was changed")
    return seen


@row("N8", "4.2", "plain", "A broadcast is sent to the group of its VNI")
def broadcast_takes_the_group(bench: Bench) -> Finding | None:
    for segment in (GREEN, BLUE):
        made = frames.arp_request(bench.fresh_mac())
        seen = claim_flooded(bench, segment, made, "an ARP request")
        seen.claim(bench.multicast, f"no multicast: a copy to each of {', '.join(bench.remotes)}")
        expected = frames.mac_of(segment.group)
        mac = seen.tunnel[0].destination_mac
        seen.claim(mac == expected, f"outer destination MAC {mac}, not {expected}")
    return None


@row("N9", "4.2", "plain", "Which VNI has which group comes from management alone", LIFE)
def mapping_is_configured(bench: Bench) -> Finding | None:
    if not bench.multicast:
        return unobservable(_NO_GROUPS)
    one, other = bench.segments
    made = frame(bench.fresh_mac(0x57), BROADCAST)
    seen = bench.from_remote(bench.packet(made, vni=one.vni, to=other.group))
    outcome = "accepted" if seen.port else "dropped"
    for segment in bench.segments:
        claim_flooded(bench, segment, frame(bench.fresh_mac(), BROADCAST), "a broadcast")
    return conforms(f"a packet of VNI {one.vni} to the group of VNI {other.vni}: {outcome}")


def told_of(group: str, joins: bool, packets: list[bytes]) -> Report | None:
    """A report that joins or leaves a group."""
    found = (each for each in reports(packets) if (each.group, each.joins) == (group, joins))
    return next(found, None)


@row("N10", "4.2", "plain", "Membership is reported: joins and leaves as VNIs come and go", LIFE)
def membership_follows_the_vnis(bench: Bench) -> Finding | None:
    if not bench.multicast:
        return unobservable(_NO_GROUPS)
    await_start(bench)
    try:
        bench.ask("vni_add", **_ADDED)
    except Hidden:
        text = "joins at start, leaves at the end; it takes no VNIs at run time"
    else:
        _await_report(bench, str(_ADDED["group"]), joins=True, when="its VNI was added")
        bench.ask("vni_del", vni=_ADDED["vni"])
        _await_report(bench, str(_ADDED["group"]), joins=False, when="its VNI was removed")
        text = "at start, on adding and removing a VNI, and at the end"
    bench.ask_to_end()
    last = bench.segments[-1].group
    seen = bench.listen(_REPORTS_WITHIN_S, lambda seen: told_of(last, False, seen.underlay))
    for segment in bench.segments:
        left = told_of(segment.group, False, seen.underlay)
        seen.claim(left, f"no report left {segment.group} when the VTEP was ended")
    return conforms(text)


def await_start(bench: Bench) -> list[Report]:
    """The reports of the configured groups, since the start."""
    groups = {segment.group for segment in bench.segments}

    def missing() -> set[str]:
        return groups - {each.group for each in reports(bench.heard) if each.joins}

    bench.listen(_REPORTS_WITHIN_S, lambda _: not missing())
    if missing():
        text = f"no membership report for {', '.join(sorted(missing()))}"
        raise Deviation(text, _heard(bench))
    return reports(bench.heard)


def _heard(bench: Bench) -> list[Packet]:
    return [Packet("from the underlay port", packet) for packet in bench.heard[:6]]


def _await_report(bench: Bench, group: str, joins: bool, when: str) -> None:
    seen = bench.listen(_REPORTS_WITHIN_S, lambda seen: told_of(group, joins, seen.underlay))
    verb = "joined" if joins else "left"
    seen.claim(told_of(group, joins, seen.underlay), f"no report {verb} {group} when {when}")


@row("N11", "4.2", "plain", "Joins are (*,G): for any source", LIFE)
def joins_name_no_source(bench: Bench) -> Finding | None:
    if not bench.multicast:
        return unobservable(_NO_GROUPS)
    groups = {segment.group for segment in bench.segments}
    found = [each for each in await_start(bench) if each.group in groups]
    narrow = [each for each in found if each.joins and each.sources]
    if narrow:
        raise Deviation(f"{narrow[0].group}: {narrow[0].words}", _heard(bench))
    return conforms(found[0].words)


@row("N12", "4.2", "plain", "Multicast and unknown unicast take the same tree as broadcast")
def unknown_and_multicast_flood(bench: Bench) -> Finding | None:
    here = bench.fresh_mac()
    claim_flooded(bench, GREEN, frame(here, bench.fresh_mac()), "an unknown unicast")
    for mac in ("01:00:5e:00:00:fb", "33:33:00:00:00:fb"):
        claim_flooded(bench, GREEN, frame(here, mac), f"a multicast frame to {mac}")
    return None


@row("N13", "4.2", "plain", "Hosts without a VM in the VNI are pruned: no join without a VNI", LIFE)
def joins_only_its_own_groups(bench: Bench) -> Finding | None:
    if not bench.multicast:
        return unobservable(_NO_GROUPS)
    mine = {segment.group for segment in bench.segments}
    told = await_start(bench)
    strange = {each.group for each in told if each.joins and not _of_the_link(each.group)} - mine
    if strange:
        raise Deviation(
            f"it joins {', '.join(sorted(strange))}, groups of no VNI of its own", _heard(bench)
        )
    one, other = (segment.group for segment in bench.segments)
    made = frame(bench.fresh_mac(0x57), BROADCAST)
    seen = bench.from_remote(
        bench.packet(made, vni=99, to=one), bench.packet(made, vni=98, to=other)
    )
    seen.claim(not seen.port, "a frame of a VNI that is not here was delivered")
    return None


def _of_the_link(group: str) -> bool:
    """Groups of the local link and IPv6 housekeeping, which every host joins."""
    return group.startswith(("224.0.0.", "ff02:"))
