"""The eight steps, in order. Each yields lines of evidence, or raises StepFailed.

Steps 2 to 7 verify one ARP exchange, which is over when they run: the captures kept every packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vxlab.capture.decode import frame_line
from vxlab.capture.packets import INBOUND, OUTBOUND
from vxlab.demo.evidence import IS_AT, WHO_HAS, DemoLab, vlan_of
from vxlab.topology.names import nic

_PINGS = 3


class StepFailed(Exception):
    """What was seen instead of what a step claims."""


def verify(claim: bool, otherwise: str) -> None:
    """Raise StepFailed with what was seen instead, unless the claim is true."""
    if not claim:
        raise StepFailed(otherwise)


@dataclass(frozen=True)
class Step:
    """A title that claims something, and the function that verifies it."""

    title: str
    verify: Callable[[DemoLab], Iterator[str]]


def joined(demo: DemoLab) -> Iterator[str]:
    """The kernel of every member is in the VNI's group, and the switches know it."""
    roles = demo.roles
    for member in roles.members:
        rows = [row for row in demo.ask(member["name"], "groups") if row["vni"] == roles.vni]
        found = " ".join(row["group"] for row in rows) or "none"
        name = member["name"]
        verify(
            found == roles.group,
            f"{name} uses group {found} for VNI {roles.vni}, not {roles.group}",
        )
        verify(rows[0]["joined"], f"{name}'s kernel is not a member of group {roles.group}")
        yield f"{name} ({member['underlay']}) has joined {roles.group} for VNI {roles.vni}"
    if not roles.snooped:
        yield f"{roles.group} is link-local: switches do not snoop it, they flood it"
        return
    snooped = demo.snooped()
    for switch, neighbours in snooped.items():
        yield f"{switch} forwards {roles.group} only to {' '.join(neighbours)} (snooped)"
    direct = {name for neighbours in snooped.values() for name in neighbours}
    missing = sorted({member["name"] for member in roles.members} - direct)
    verify(
        not missing, f"no underlay switch forwards {roles.group} to {' '.join(missing)} (snooped)"
    )


def broadcast(demo: DemoLab) -> Iterator[str]:
    """The asker's ARP request reaches its VTEP on the VNI's VLAN or port."""
    roles = demo.roles
    asker = roles.asker
    sent = demo.arp_frames(nic(asker["name"]), WHO_HAS, OUTBOUND)
    verify(len(sent) == 1, f"{asker['name']} sent {len(sent)} ARP requests, not 1")
    yield f"{asker['name']} sends {sent[0].src} -> {sent[0].dst}: {frame_line(sent[0])}"
    vlans = [vlan_of(frame) for frame in demo.arp_frames(roles.port, WHO_HAS, INBOUND)]
    expected = asker["vlan"] if roles.trunk else None  # a port of the VNI alone has no tags
    verify(vlans == [expected], f"{roles.port} carried it with VLAN tags {vlans}, not [{expected}]")
    if roles.trunk:
        text = f"{roles.port} carries it to the VTEP with VLAN tag {expected}"
    else:
        text = f"{roles.port}, the port of VLAN {asker['vlan']}, carries it to the VTEP"
    yield f"{text}, which is VNI {roles.vni}"


def one_packet(demo: DemoLab) -> Iterator[str]:
    """The sending VTEP puts exactly one packet to the group on its underlay link."""
    roles = demo.roles
    sender = roles.sender["name"]
    packets = demo.arp_packets(sender, WHO_HAS, OUTBOUND)
    verify(len(packets) == 1, f"{sender} sent {len(packets)} packets for one broadcast, not 1")
    (packet,) = packets
    verify(
        packet.destination == roles.group,
        f"its destination is {packet.destination}, not {roles.group}",
    )
    verify(
        packet.source == roles.sender["underlay"],
        f"its source is {packet.source}, not {roles.sender['underlay']}",
    )
    verify(packet.vni == roles.vni, f"its VNI is {packet.vni}, not {roles.vni}")
    yield f"one packet on {nic(sender)}, {len(packet.captured.data)} bytes:"
    for name, value in packet.fields():
        yield f"  {name:<15}{value}"


def delivered(demo: DemoLab) -> Iterator[str]:
    """The underlay delivers a copy to every other member and, where it snoops, to nobody else."""
    roles = demo.roles
    reached = roles.members if roles.snooped else [*roles.members, *roles.outsiders]
    for row in [*roles.members, *roles.outsiders]:
        name = row["name"]
        expected = int(row in reached and row != roles.sender)
        got = len(demo.arp_packets(name, WHO_HAS, INBOUND))
        verify(got == expected, f"{name} received {got} copies, not {expected}")
        if row == roles.sender:
            yield f"{nic(name)} received 0 copies: {name} is the sender"
        elif row in roles.members:
            yield f"{nic(name)} received {got} copy"
        else:
            yield from _outsider(demo, name, got)


def _outsider(demo: DemoLab, hypervisor: str, copies: int) -> Iterator[str]:
    """An outsider received no copy; if the switches flooded it one, its VTEP learned nothing."""
    if not copies:
        yield f"{nic(hypervisor)} received 0 copies: {hypervisor} does not carry the VNI"
        return
    vni = demo.roles.vni
    rows = [row for row in demo.ask(hypervisor, "fdb") if row["vni"] == vni]
    verify(not rows, f"{hypervisor} has {len(rows)} entries of VNI {vni}")
    yield f"{nic(hypervisor)} received 1 copy, since the switches flood it; {hypervisor} ignored it"


def learned(demo: DemoLab) -> Iterator[str]:
    """Every receiving VTEP has learned the asker, and its VMs of the VNI have the frame."""
    roles = demo.roles
    receivers = [vm["name"] for vm in roles.vms if vm is not roles.asker]
    for name in receivers:  # a VTEP learns before it delivers, so this awaits the entries, too
        _await_request(demo, name)
    for member in roles.members:
        if member != roles.sender:
            yield _learned_line(demo, member["name"], roles.asker["mac"], roles.sender["underlay"])
    for name in receivers:
        got = len(demo.arp_frames(nic(name), WHO_HAS, INBOUND))
        verify(got == 1, f"{name} received the request {got} times, not once")
        yield f"{name} received the decapsulated ARP request"


def _learned_line(demo: DemoLab, hypervisor: str, mac: str, expected: str) -> str:
    """Verify an entry of a VTEP's table; the line that states it."""
    remote = demo.remote_of(hypervisor, mac)
    found = f"has {mac} at remote {remote}" if remote else f"has no remote for {mac}"
    verify(remote == expected, f"{hypervisor} {found}; it must be at remote {expected}")
    return f"{hypervisor} learned: MAC {mac} of VNI {demo.roles.vni} is at {expected}"


def _await_request(demo: DemoLab, vm: str) -> None:
    """The underlay has delivered the request, but a VTEP may still be decapsulating it."""
    missing = f"{vm} did not receive the request"
    demo.await_seen(missing, lambda: bool(demo.arp_frames(nic(vm), WHO_HAS, INBOUND)))


def answered(demo: DemoLab) -> Iterator[str]:
    """The reply is one unicast packet between two VTEPs; no other link carries it."""
    roles = demo.roles
    replier, sender = roles.replier, roles.sender
    replies = demo.arp_packets(replier["name"], IS_AT, OUTBOUND)
    verify(len(replies) == 1, f"{replier['name']} sent {len(replies)} replies, not 1")
    (packet,) = replies
    verify(
        packet.destination == sender["underlay"],
        f"the reply went to {packet.destination}, not to {sender['underlay']}",
    )
    yield f"{roles.answerer['name']} replies: {frame_line(packet.inner)}"
    yield f"{replier['name']} sends one unicast packet {packet.source} -> {packet.destination}"
    for row in [*roles.bystanders, *roles.outsiders]:
        name = row["name"]
        other = [each for each in demo.vxlan(name) if each.destination != roles.group]
        other += demo.arp_packets(name, IS_AT, INBOUND)
        verify(not other, f"{nic(name)} carried {len(other)} packets that are not for it")
        yield f"{nic(name)} carried no part of the reply"


def returned(demo: DemoLab) -> Iterator[str]:
    """The asker's VTEP has learned the answerer, and the asker has the reply."""
    roles = demo.roles
    yield _learned_line(
        demo, roles.sender["name"], roles.answerer["mac"], roles.replier["underlay"]
    )
    got = demo.arp_frames(nic(roles.asker["name"]), IS_AT, INBOUND)
    verify(len(got) == 1, f"{roles.asker['name']} received {len(got)} replies, not 1")
    yield f"{roles.asker['name']} received: {frame_line(got[0])}"


def unicast_only(demo: DemoLab) -> Iterator[str]:
    """More traffic between the two VMs moves no flood counter, and sends nothing to the group."""
    roles = demo.roles
    before, mark = demo.flood_counters(), len(demo.seen)
    verify(demo.ping_answerer(_PINGS), f"not all of {_PINGS} more pings were answered")
    demo.settle()
    after = demo.flood_counters()
    verify(before == after, f"the flood counters changed from {before} to {after}")
    fresh = demo.vxlan_since(mark, roles.sender["name"])
    verify(
        len(fresh) >= 2 * _PINGS,
        f"only {len(fresh)} packets for {_PINGS} requests and their replies",
    )
    flooded = [each for each in fresh if each.destination == roles.group]
    verify(not flooded, f"{len(flooded)} packets went to {roles.group}")
    link = nic(roles.sender["name"])
    yield f"{_PINGS} more pings: {len(fresh)} packets on {link}, all of them unicast"
    for member in roles.members:
        yield _flood_line(demo, member, after[member["name"]], mark)
    for row in roles.bystanders:
        late = demo.vxlan_since(mark, row["name"])
        verify(not late, f"{nic(row['name'])} carried {len(late)} packets")
        yield f"{nic(row['name'])} carried no VXLAN packet"


def _flood_line(
    demo: DemoLab, member: dict[str, str], counters: tuple[int | None, int | None], mark: int
) -> str:
    """One member flooded nothing: by its counters, or by its link if its kind counts no floods."""
    name, group = member["name"], demo.roles.group
    sent, received = counters
    if sent is not None and received is not None:
        return f"{name}: flood counters unchanged at {sent} sent, {received} received"
    late = [each for each in demo.vxlan_since(mark, name) if each.destination == group]
    verify(not late, f"{nic(name)} carried {len(late)} packets to {group}")
    return f"{name}: its link carried no packet to {group} (kind {member['vtep']} counts no floods)"


STEPS = (
    Step("Each VTEP joins the multicast group of its VNI, and the switches learn who", joined),
    Step(
        "A VM broadcasts an ARP request, which reaches its VTEP on the VLAN of the VNI", broadcast
    ),
    Step("The VTEP encapsulates the frame and sends ONE packet to the group", one_packet),
    Step("The underlay delivers a copy to each other member, and to nobody else", delivered),
    Step("Each receiving VTEP learns the sender, then delivers the frame to its VM", learned),
    Step("One VM replies: ONE unicast packet, and other links carry nothing", answered),
    Step("The first VTEP learns from the reply, and the first VM receives it", returned),
    Step("From now on all packets are unicast, and nothing is flooded", unicast_only),
)
