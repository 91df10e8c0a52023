"""The eight steps, in order. Each looks at the stage and answers with evidence, or what is untrue.

Steps 2 to 7 look at one ARP exchange, already over when they are asked: the taps kept every packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vxlab.capture.decode import frame_line
from vxlab.capture.packets import INBOUND, OUTBOUND
from vxlab.demo.stage import IS_AT, WHO_HAS, Stage, vlan_of
from vxlab.topology.names import nic, trunk_name


class Untrue(Exception):
    """A step's claim that the evidence contradicts."""


def hold(claim: bool, otherwise: str) -> None:
    """Raise Untrue with what was found instead, unless the claim holds."""
    if not claim:
        raise Untrue(otherwise)


@dataclass(frozen=True)
class Step:
    """A title, and what proves it."""

    title: str
    prove: Callable[[Stage], Iterator[str]]


def joined(stage: Stage) -> Iterator[str]:
    """Every member's kernel is in the VNI's group, and the switches know it."""
    cast = stage.cast
    for member in cast.members:
        rows = [row for row in stage.ask(member["name"], "groups") if row["vni"] == cast.vni]
        found = " ".join(row["group"] for row in rows) or "none"
        hold(
            found == cast.group,
            f"{member['name']} uses group {found} for VNI {cast.vni}, not {cast.group}",
        )
        hold(rows[0]["joined"], f"{member['name']}'s kernel is not in group {cast.group}")
        yield f"{member['name']} ({member['underlay']}) has joined {cast.group} for VNI {cast.vni}"
    if not cast.snooped:
        yield f"{cast.group} is link-local: the switches flood what is sent to it"
        return
    for switch, neighbours in stage.snooped().items():
        yield f"{switch} has snooped {cast.group} towards {' '.join(neighbours)}"
    direct = {name for neighbours in stage.snooped().values() for name in neighbours}
    missing = sorted({member["name"] for member in cast.members} - direct)
    hold(not missing, f"no underlay switch has snooped {cast.group} towards {' '.join(missing)}")


def broadcast(stage: Stage) -> Iterator[str]:
    """The asker's ARP request reaches its VTEP on the VLAN of the VNI."""
    cast = stage.cast
    asker, hypervisor = cast.asker, cast.sender["name"]
    sent = stage.arp_frames(nic(asker["name"]), WHO_HAS, OUTBOUND)
    hold(len(sent) == 1, f"{asker['name']} sent {len(sent)} ARP requests, not 1")
    yield f"{asker['name']} sends {sent[0].src} -> {sent[0].dst}: {frame_line(sent[0])}"
    tagged = stage.arp_frames(trunk_name(hypervisor), WHO_HAS, INBOUND)
    vlans = [vlan_of(frame) for frame in tagged]
    hold(
        vlans == [asker["vlan"]],
        f"{trunk_name(hypervisor)} carried it on VLANs {vlans}, not [{asker['vlan']}]",
    )
    yield f"{trunk_name(hypervisor)} carries it with 802.1Q tag {vlans[0]}, which is VNI {cast.vni}"


def one_packet(stage: Stage) -> Iterator[str]:
    """The sending VTEP puts exactly one packet for the group on its underlay link."""
    cast = stage.cast
    packets = stage.arp_packets(cast.sender["name"], WHO_HAS, OUTBOUND)
    hold(
        len(packets) == 1,
        f"{cast.sender['name']} sent {len(packets)} packets for one broadcast, not 1",
    )
    packet = packets[0]
    hold(packet.destination == cast.group, f"it went to {packet.destination}, not to {cast.group}")
    hold(packet.source == cast.sender["underlay"], f"it came from {packet.source}")
    hold(packet.vni == cast.vni, f"it bears VNI {packet.vni}, not {cast.vni}")
    yield f"one packet on {nic(cast.sender['name'])}, {len(packet.sighting.data)} bytes:"
    for name, value in packet.fields():
        yield f"  {name:<15}{value}"


def carried(stage: Stage) -> Iterator[str]:
    """The underlay brings a copy to every other member; where it snoops, to nobody else."""
    cast = stage.cast
    reached = cast.members if cast.snooped else [*cast.members, *cast.outsiders]
    for row in [*cast.members, *cast.outsiders]:
        expected = int(row in reached and row != cast.sender)
        got = len(stage.arp_packets(row["name"], WHO_HAS, INBOUND))
        hold(got == expected, f"{row['name']} received {got} copies, not {expected}")
        yield f"{nic(row['name'])} received {got} {'copy' if got == 1 else 'copies'}"
        if got and row in cast.outsiders:
            yield from _kept_out(stage, row["name"])


def _kept_out(stage: Stage, hypervisor: str) -> Iterator[str]:
    """An outsider whose link carried a flooded copy is not in the group and took none of it."""
    rows = [row for row in stage.ask(hypervisor, "fdb") if row["vni"] == stage.cast.vni]
    hold(not rows, f"{hypervisor} has {len(rows)} rows of VNI {stage.cast.vni}")
    yield f"  the switches flooded it; {hypervisor} is not in the group and took none of it"


def learned(stage: Stage) -> Iterator[str]:
    """Each receiver has the asker's row, and its VMs of the VNI have the frame."""
    cast = stage.cast
    mac, origin = cast.asker["mac"], cast.sender["underlay"]
    for vm in cast.vms:  # a VTEP learns before it delivers, so the rows are there after this
        if vm is not cast.asker:
            _await_request(stage, vm["name"])
    for member in cast.members:
        if member == cast.sender:
            continue
        row = stage.row(member["name"], mac)
        remote = row["remote"] if row else None
        hold(remote == origin, f"{member['name']} has {mac} behind {remote}, not {origin}")
        yield f"{member['name']} learned ({mac}, VNI {cast.vni}) -> {remote}"
    for vm in cast.vms:
        if vm is cast.asker:
            continue
        got = len(stage.arp_frames(nic(vm["name"]), WHO_HAS, INBOUND))
        hold(got == 1, f"{vm['name']} received the request {got} times, not once")
        yield f"{vm['name']} received the ARP request, decapsulated"


def _await_request(stage: Stage, vm: str) -> None:
    """The underlay is quiet, but an agent may still be at work."""
    missing = f"{vm} did not receive the request"
    stage.await_seen(missing, lambda: bool(stage.arp_frames(nic(vm), WHO_HAS, INBOUND)))


def answered(stage: Stage) -> Iterator[str]:
    """The answer is one unicast packet between two VTEPs; the other links are quiet."""
    cast = stage.cast
    answers = stage.arp_packets(cast.replier["name"], IS_AT, OUTBOUND)
    hold(len(answers) == 1, f"{cast.replier['name']} sent {len(answers)} answers, not 1")
    packet = answers[0]
    hold(
        packet.destination == cast.sender["underlay"],
        f"the answer went to {packet.destination}, not to {cast.sender['underlay']}",
    )
    yield f"{cast.answerer['name']} answers: {frame_line(packet.inner)}"
    yield f"{cast.replier['name']} sends one unicast packet {packet.source} -> {packet.destination}"
    for row in [*cast.bystanders, *cast.outsiders]:
        other = [p for p in stage.vxlan(row["name"]) if p.destination != cast.group]
        answers = stage.arp_packets(row["name"], IS_AT, INBOUND)
        hold(
            not other and not answers, f"{row['name']}'s link carried {len(other)} unicast packets"
        )
        yield f"{nic(row['name'])} carried nothing of it"


def returned(stage: Stage) -> Iterator[str]:
    """The asker's VTEP has learned the answerer, and the asker has its answer."""
    cast = stage.cast
    mac, origin = cast.answerer["mac"], cast.replier["underlay"]
    row = stage.row(cast.sender["name"], mac)
    remote = row["remote"] if row else None
    hold(remote == origin, f"{cast.sender['name']} has {mac} behind {remote}, not {origin}")
    yield f"{cast.sender['name']} learned ({mac}, VNI {cast.vni}) -> {remote}"
    got = stage.arp_frames(nic(cast.asker["name"]), IS_AT, INBOUND)
    hold(len(got) == 1, f"{cast.asker['name']} received {len(got)} answers, not 1")
    yield f"{cast.asker['name']} received: {frame_line(got[0])}"


def unicast_only(stage: Stage) -> Iterator[str]:
    """More traffic moves no flood counter and no packet to the group."""
    cast = stage.cast
    before, mark = stage.flood_counters(), len(stage.seen)
    count = 3
    hold(stage.ping(count), f"{count} more pings did not all come back")
    stage.settle()
    after = stage.flood_counters()
    hold(before == after, f"the flood counters moved from {before} to {after}")
    fresh = stage.vxlan_since(mark, cast.sender["name"])
    grouped = [p for p in fresh if p.destination == cast.group]
    hold(len(fresh) >= 2 * count, f"only {len(fresh)} packets for {count} pings and their answers")
    hold(not grouped, f"{len(grouped)} packets went to {cast.group}")
    yield f"{count} pings, {len(fresh)} packets on {nic(cast.sender['name'])}, all unicast"
    for name, (sent, received) in after.items():
        yield f"{name}: flood counters stand still at {sent} sent, {received} received"
    for row in cast.bystanders:
        late = stage.vxlan_since(mark, row["name"])
        hold(not late, f"{row['name']}'s link carried {len(late)} packets")
        yield f"{nic(row['name'])} carried nothing"


STEPS = (
    Step("each VTEP joins the group of its VNI, and the underlay knows who joined", joined),
    Step("a VM broadcasts an ARP request; it reaches its VTEP on the VNI's VLAN", broadcast),
    Step("the VTEP encapsulates and sends ONE packet to the group", one_packet),
    Step("the underlay carries it to the other members and to nobody else", carried),
    Step("each of them learns the sender, then hands the frame to its VM", learned),
    Step("one VM answers: ONE unicast packet, the other links carry nothing", answered),
    Step("the first VTEP learns in turn, and the asker gets its answer", returned),
    Step("from here on all is unicast; the group's counters stand still", unicast_only),
)
