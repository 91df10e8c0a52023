"""Section 4.2: broadcast, unknown unicast and multicast, and their multicast groups."""

from __future__ import annotations

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, tagged
from vxlab.conformance.membership_reports import GroupChange, reports
from vxlab.conformance.observation import Observation
from vxlab.conformance.setups import BLUE, GREEN, LIFE, SegmentSetup
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import (
    Deviation,
    Finding,
    NotObservable,
    Packet,
    conforms,
    unobservable,
)

_ADDED = {"vni": 30, "group": "239.9.1.30", "vlan": 3}
_REPORTS_WITHIN_S = 3.0
_NO_GROUPS = "this VTEP has lists of remotes instead of multicast groups"


def flooded_to(bed: TestBed, segment: SegmentSetup) -> list[str]:
    """The destinations of a flooded frame of a segment."""
    return [segment.group] if bed.multicast else sorted(bed.remotes)


def claim_flooded(bed: TestBed, segment: SegmentSetup, made: bytes, what: str) -> Observation:
    """Claim that a VM's frame is flooded: one packet to the group, or one to each remote."""
    seen = bed.traffic.exchange(port=[tagged(made, segment.vlan)])
    to = sorted(packet.destination for packet in seen.tunnel)
    expected = flooded_to(bed, segment)
    seen.claim(to == expected, f"{what} of VNI {segment.vni} went to {to}, not to {expected}")
    seen.claim(all(packet.inner == made for packet in seen.tunnel), f"{what} was changed")
    return seen


@row("N8", "4.2", "plain", "A broadcast is sent to the group of its VNI")
def broadcast_takes_the_group(bed: TestBed) -> Finding | None:
    for segment in (GREEN, BLUE):
        made = frames.arp_request(bed.packets.vm_mac())
        seen = claim_flooded(bed, segment, made, "an ARP request")
        seen.claim(
            bed.multicast, f"no multicast: a copy was sent to each of {', '.join(bed.remotes)}"
        )
        expected = frames.mac_of(segment.group)
        mac = seen.tunnel[0].destination_mac
        seen.claim(mac == expected, f"outer destination MAC {mac}, not {expected}")
    return None


@row("N9", "4.2", "plain", "The mapping of VNIs to groups comes from the configuration only", LIFE)
def mapping_is_configured(bed: TestBed) -> Finding | None:
    if not bed.multicast:
        return unobservable(_NO_GROUPS)
    one, other = bed.segments
    made = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, vni=one.vni, to=other.group))
    outcome = "accepted" if seen.port else "dropped"
    for segment in bed.segments:
        claim_flooded(bed, segment, frame(bed.packets.vm_mac(), BROADCAST), "a broadcast")
    return conforms(f"a packet of VNI {one.vni} to the group of VNI {other.vni}: {outcome}")


def report_for(group: str, joins: bool, packets: list[bytes]) -> GroupChange | None:
    """The first report that joins or leaves a group."""
    found = (each for each in reports(packets) if (each.group, each.joins) == (group, joins))
    return next(found, None)


@row("N10", "4.2", "plain", "IGMP reports joins and leaves as VNIs are added and removed", LIFE)
def membership_follows_the_vnis(bed: TestBed) -> Finding | None:
    if not bed.multicast:
        return unobservable(_NO_GROUPS)
    await_start(bed)
    try:
        bed.control.ask("vni_add", **_ADDED)
    except NotObservable:
        text = "at start and at the end; it does not accept VNIs at run time"
    else:
        _await_report(bed, str(_ADDED["group"]), joins=True, when="its VNI was added")
        bed.control.ask("vni_del", vni=_ADDED["vni"])
        _await_report(bed, str(_ADDED["group"]), joins=False, when="its VNI was removed")
        text = "at start, when a VNI is added and removed, and at the end"
    bed.ask_to_end()
    last = bed.segments[-1].group
    seen = bed.traffic.listen(
        _REPORTS_WITHIN_S, lambda seen: report_for(last, False, seen.underlay)
    )
    for segment in bed.segments:
        left = report_for(segment.group, False, seen.underlay)
        seen.claim(left, f"no report left {segment.group} when the VTEP was ended")
    return conforms(text)


def await_start(bed: TestBed) -> list[GroupChange]:
    """All reports since the start; waits until each configured group is joined."""
    groups = {segment.group for segment in bed.segments}

    def missing() -> set[str]:
        return groups - {each.group for each in reports(bed.traffic.reports) if each.joins}

    bed.traffic.listen(_REPORTS_WITHIN_S, lambda _: not missing())
    if missing():
        text = f"no membership report for {', '.join(sorted(missing()))}"
        raise Deviation(text, _first_reports(bed))
    return reports(bed.traffic.reports)


def _first_reports(bed: TestBed) -> list[Packet]:
    return [Packet("from the underlay port", packet) for packet in bed.traffic.reports[:6]]


def _await_report(bed: TestBed, group: str, joins: bool, when: str) -> None:
    seen = bed.traffic.listen(
        _REPORTS_WITHIN_S, lambda seen: report_for(group, joins, seen.underlay)
    )
    verb = "joined" if joins else "left"
    seen.claim(report_for(group, joins, seen.underlay), f"no report {verb} {group} when {when}")


@row("N11", "4.2", "plain", "Joins are (*,G): for any source", LIFE)
def joins_name_no_source(bed: TestBed) -> Finding | None:
    if not bed.multicast:
        return unobservable(_NO_GROUPS)
    groups = {segment.group for segment in bed.segments}
    found = [each for each in await_start(bed) if each.group in groups]
    narrow = [each for each in found if each.joins and each.sources]
    if narrow:
        raise Deviation(f"{narrow[0].group}: {narrow[0].text}", _first_reports(bed))
    return conforms(found[0].text)


@row("N12", "4.2", "plain", "Multicast and unknown unicast are sent like broadcast")
def unknown_and_multicast_flood(bed: TestBed) -> Finding | None:
    here = bed.packets.vm_mac()
    claim_flooded(bed, GREEN, frame(here, bed.packets.vm_mac()), "an unknown unicast")
    for mac in ("01:00:5e:00:00:fb", "33:33:00:00:00:fb"):
        claim_flooded(bed, GREEN, frame(here, mac), f"a multicast frame to {mac}")
    return None


@row("N13", "4.2", "plain", "A VTEP joins only the groups of its own VNIs", LIFE)
def joins_only_its_own_groups(bed: TestBed) -> Finding | None:
    if not bed.multicast:
        return unobservable(_NO_GROUPS)
    mine = {segment.group for segment in bed.segments}
    found = await_start(bed)
    strange = {each.group for each in found if each.joins and not _of_the_link(each.group)} - mine
    if strange:
        raise Deviation(
            f"it joins {', '.join(sorted(strange))}, which are groups of none of its VNIs",
            _first_reports(bed),
        )
    one, other = (segment.group for segment in bed.segments)
    made = frame(bed.packets.remote_mac(), BROADCAST)
    seen = bed.traffic.from_remote(
        bed.packets.vxlan(made, vni=99, to=one), bed.packets.vxlan(made, vni=98, to=other)
    )
    seen.claim(not seen.port, "a frame of a VNI that is not configured was delivered")
    return None


def _of_the_link(group: str) -> bool:
    """Whether a group is link-local; hosts join some of these by themselves."""
    return group.startswith(("224.0.0.", "ff02:"))
