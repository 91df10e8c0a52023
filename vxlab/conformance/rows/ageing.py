"""Ageing, moves and limits of the table, and other behaviour that users expect of a VTEP.

RFC 7348 says little about it; these rows judge what is expected of any learning switch.
"""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.conformance import frames
from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import BROADCAST, frame, ip_frame, tagged
from vxlab.conformance.observation import Observation
from vxlab.conformance.rows.header import all_ways_out
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import (
    BLUE,
    FIXED,
    HEAD_END,
    INHERIT,
    LARGE,
    SEVERAL,
    SHORT,
    STATIC_MAC,
    SUPPRESS,
)
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, NotObservable, conforms

_EARLY = 0.75  # of the ageing time: an entry must still exist then
_GRACE_S = 1.2  # a VTEP may look for expired entries once a second
_LATEST_S = 11.0  # the kernel's vxlan device looks every ten seconds
_STEP_S = 0.4
_MOVES_WITHIN_S = 1.0


def _known(bed: TestBed, mac: str, segment: int = 1) -> tuple[bool, Observation]:
    """Whether the VTEP knows the remote of a MAC: it sends a frame for it to one VTEP only."""
    asker = "02:4c:fe:00:00:0c"
    seen = bed.traffic.from_vm(frame(asker, mac), segment=segment)
    to = {packet.destination for packet in seen.tunnel}
    return len(to) == 1 and to <= set(bed.remotes), seen


@dataclass(frozen=True)
class _Timeline:
    """The lifetimes of entries that were treated differently."""

    early_known: bool
    early: Observation
    silent_gone_s: float | None
    silent: Observation
    sent_to_known: bool
    sent_to: Observation
    renewed_known: bool
    renewed: Observation


def _timeline(bed: TestBed) -> _Timeline:
    """Learn MACs; then leave some silent, send to one, receive from one. Once for each test bed."""
    if "timeline" not in bed.kept:
        bed.kept["timeline"] = _watch_ageing(bed)
    found: _Timeline = bed.kept["timeline"]
    return found


def _watch_ageing(bed: TestBed) -> _Timeline:
    ageing = float(SHORT.fdb["ageing_s"])
    early_s = ageing * _EARLY
    silent = [bed.packets.remote_mac() for _ in range(int(_LATEST_S) + 2)]
    sent_to, renewed = bed.packets.remote_mac(), bed.packets.remote_mac()
    for mac in (*silent, sent_to, renewed):
        learn(bed, mac, vni=BLUE.vni)
    bed.traffic.listen(early_s / 2)
    learn(bed, renewed, vni=BLUE.vni)
    bed.traffic.listen(early_s / 2)
    early_known, early = _known(bed, silent.pop())
    elapsed, due, gone = early_s, ageing + _GRACE_S, None
    renewed_known = True
    while gone is None and elapsed < ageing + _LATEST_S:
        bed.traffic.listen(_STEP_S)
        elapsed += _STEP_S
        if renewed_known:  # look before the next frame from it, which could add a new entry
            renewed_known, received = _known(bed, renewed)
        learn(bed, renewed, vni=BLUE.vni)
        _, sent = _known(bed, sent_to)
        if elapsed >= due:
            still, seen = _known(bed, silent.pop())
            gone, due = (None if still else elapsed), due + 1.0
    still_sent_to, sent = _known(bed, sent_to)
    found = (gone, seen, still_sent_to, sent, renewed_known, received)
    return _Timeline(early_known, early, *found)


@row(
    "A1",
    "4.1",
    "plain",
    "A learned entry that is not refreshed expires after the ageing time",
    SHORT,
)
def rows_age(bed: TestBed) -> Finding | None:
    found = _timeline(bed)
    ageing = SHORT.fdb["ageing_s"]
    text = f"with an ageing time of {ageing} s, an entry was gone after {ageing * _EARLY:.1f} s"
    found.early.claim(found.early_known, text)
    text = f"with an ageing time of {ageing} s, an entry was used after {ageing + _LATEST_S:.0f} s"
    found.silent.claim(found.silent_gone_s is not None, text)
    assert found.silent_gone_s is not None
    text = f"with an ageing time of {ageing} s, an entry expired after {found.silent_gone_s:.1f} s"
    found.silent.claim(found.silent_gone_s < ageing + _GRACE_S + 2 * _STEP_S, text)
    return conforms(text)


@row("A2", "4.1", "plain", "Sent frames do not refresh an entry: only received frames do", SHORT)
def sending_renews_nothing(bed: TestBed) -> Finding | None:
    found = _timeline(bed)
    if found.silent_gone_s is None:
        raise NotObservable("no entry expires within the time of the suite")
    text = "an entry that was only sent to outlived one that was not used"
    found.sent_to.claim(not found.sent_to_known, text)
    return None


@row("A3", "4.1", "plain", "A received frame refreshes an entry", SHORT)
def receiving_renews(bed: TestBed) -> Finding | None:
    found = _timeline(bed)
    found.renewed.claim(found.renewed_known, "an entry expired although its MAC kept sending")
    return None


@row("A4", "4.1", "plain", "A MAC that moves is reached at its new place within a second")
def moves_are_followed(bed: TestBed) -> Finding | None:
    mac, asker = bed.packets.remote_mac(), bed.packets.vm_mac()
    late = 0.0
    for remote in (0, 1, 2, 0):
        learn(bed, mac, remote=remote)
        late = max(late, _await_place(bed, asker, mac, [bed.remotes[remote]]))
    bed.traffic.from_vm(frame(mac, BROADCAST))  # it has moved to this hypervisor
    late = max(late, _await_place(bed, asker, mac, []))
    learn(bed, mac, remote=1)
    late = max(late, _await_place(bed, asker, mac, [bed.remotes[1]]))
    return conforms(f"after {late:.1f} s" if late else "at once")


def _await_place(bed: TestBed, asker: str, mac: str, expected: list[str]) -> float:
    """Wait until frames for a MAC go where they should; returns the time this took, in seconds."""
    waited = 0.0
    while True:
        seen = bed.traffic.from_vm(frame(asker, mac))
        to = [packet.destination for packet in seen.tunnel]
        if to == expected:
            return waited
        where = expected[0] if expected else "the VM side"
        seen.claim(waited < _MOVES_WITHIN_S, f"it moved to {where}, but frames go to {to}")
        bed.traffic.listen(_STEP_S)
        waited += _STEP_S


@row(
    "A5",
    "4.1",
    "plain",
    "Frames with MACs above the MAC limit are forwarded but not learned",
    SHORT,
)
def limit_of_macs(bed: TestBed) -> Finding | None:
    limit = SHORT.fdb["limit"]
    macs = [bed.packets.remote_mac() for _ in range(limit + 4)]
    made = [frame(mac, BROADCAST) for mac in macs]
    seen = bed.traffic.from_remote(*(bed.packets.vxlan(each, vni=LARGE.vni) for each in made))
    expected = [tagged(each, LARGE.vlan) for each in made]
    seen.claim(seen.port == expected, "not every frame above the limit was delivered")
    number = bed.segments.index(LARGE)
    known = [mac for mac in macs if _known(bed, mac, segment=number)[0]]
    seen.claim(len(known) <= limit, f"{len(known)} MACs were learned, but the limit is {limit}")
    seen.claim(known, "no MAC was learned")
    return conforms(f"{len(known)} of {len(macs)} learned; the limit is {limit}")


@row("A6", "5", "plain", "The outer TTL lets packets pass routers, including packets to a group")
def outer_ttl(bed: TestBed) -> Finding | None:
    seen = all_ways_out(bed)
    ttls = sorted({packet.ttl for packet in seen.tunnel})
    seen.claim(ttls[0] >= 16, f"outer TTLs {ttls}")
    return conforms(f"TTL {' and '.join(map(str, ttls))}")


@row("A7", "5", "plain", "Option: outer TTL and DSCP are copied from the inner packet", INHERIT)
def inherited_ttl_and_dscp(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    for ipv6 in (False, True):
        seen = bed.traffic.from_vm(ip_frame(here, there, tos=0xB8, ttl=33, ipv6=ipv6))
        found = {(packet.tos & 0xFC, packet.ttl) for packet in seen.tunnel}
        seen.claim(found == {(0xB8, 33)}, f"outer TOS and TTL {found}, inner (184, 33)")
    return None


@row("A7.fixed", "5", "plain", "Option: outer TTL and DSCP are fixed values", FIXED)
def fixed_ttl_and_dscp(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    made = [ip_frame(here, there, tos=0xB8), ip_frame(here, there, tos=0xB8, ipv6=True)]
    seen = bed.traffic.from_vm(*made, frames.arp_request(here))
    found = {(packet.tos & 0xFC, packet.ttl) for packet in seen.tunnel}
    expected = (FIXED.underlay["tos"], FIXED.underlay["ttl"])
    seen.claim(found == {expected}, f"outer TOS and TTL {found}, not {expected}")
    return None


@row("A8", "4.2", "plain", "Option: frames are flooded to a list of remotes", HEAD_END)
def head_end_replication(bed: TestBed) -> Finding | None:
    made = frames.arp_request(bed.packets.vm_mac())
    seen = bed.traffic.from_vm(made, segment=1)
    to = sorted(packet.destination for packet in seen.tunnel)
    expected = sorted(bed.remotes)
    seen.claim(to == expected, f"sent to {to}, but the list is {expected}")
    seen.claim(all(packet.inner == made for packet in seen.tunnel), "a copy differs from the frame")
    return None


@row("A9", "4.2", "plain", "Option: the VTEP replies to ARP requests for known VMs", SUPPRESS)
def arp_is_answered(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    announced = frames.arp_reply(there, BROADCAST, sender="10.0.0.9", target="10.0.0.1")
    bed.traffic.from_remote(bed.packets.vxlan(announced))
    seen = bed.traffic.from_vm(frames.arp_request(here, target="10.0.0.9"))
    seen.claim(not seen.tunnel, "the request was flooded although the reply is known")
    expected = frames.arp_reply(there, here, sender="10.0.0.9", target="10.0.0.1")
    answers = [frames.untagged(each)[:42] for each in seen.port]
    seen.claim(answers == [expected[:42]], "the VM did not receive exactly one correct reply")
    return None


@row(
    "A9.ipv6",
    "4.1",
    "plain",
    "Option: the VTEP replies to neighbour solicitations for known VMs",
    SUPPRESS,
)
def solicitation_is_answered(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    asks, answers = "2001:db8:a::1", "2001:db8:a::9"
    announced = frames.advertisement(there, "33:33:00:00:00:01", sender=answers, target="ff02::1")
    bed.traffic.from_remote(bed.packets.vxlan(announced))
    seen = bed.traffic.from_vm(frames.solicitation(here, asks, answers))
    seen.claim(not seen.tunnel, "the solicitation was flooded although the reply is known")
    expected = frames.advertisement(there, here, sender=answers, target=asks)
    found = [frames.untagged(each) for each in seen.port]
    seen.claim(found == [expected], "the VM did not receive exactly one correct reply")
    return None


@row("A10", "4.1", "plain", "Option: a MAC has several remotes, and each flow uses one", SEVERAL)
def flows_are_dealt_out(bed: TestBed) -> Finding | None:
    here = bed.packets.vm_mac()
    flows = [ip_frame(here, STATIC_MAC, sport=20000 + 7 * flow) for flow in range(40)]
    seen = bed.traffic.from_vm(*flows, *flows)
    pairs = {(packet.inner, packet.destination) for packet in seen.tunnel}
    seen.claim(len(seen.tunnel) == 80, f"80 frames became {len(seen.tunnel)} packets")
    seen.claim(len(pairs) == 40, "a flow was sent to more than one remote")
    to = {destination for _, destination in pairs}
    expected = {bed.remotes[number] for number in SEVERAL.static_remotes}
    seen.claim(to == expected, f"40 flows went to {to}, not to {expected}")
    return None
