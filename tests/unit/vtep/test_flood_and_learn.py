"""The demo's eight steps, on three cores."""

from __future__ import annotations

from tests.support import frames
from tests.support.fabric import GROUP, VLAN, VNI, Fabric, Handed
from tests.support.frames import A, B
from vtep.constants import VXLAN_PORT

HV1, HV2, HV3 = "192.0.2.11", "192.0.2.12", "192.0.2.13"


def test_flood_and_learn() -> None:
    fabric = Fabric(3)
    step_1_each_joins_the_group(fabric)
    request = frames.arp_request()
    steps_2_and_3_a_broadcast_is_one_packet_to_the_group(fabric, request)
    steps_4_and_5_the_others_learn_and_deliver(fabric, request)
    reply = frames.arp_reply()
    step_6_the_reply_is_one_unicast_packet(fabric, reply)
    step_7_the_first_vtep_learns_and_delivers(fabric, reply)
    step_8_all_further_packets_are_unicast(fabric)


def step_1_each_joins_the_group(fabric: Fabric) -> None:
    fabric.carry(VNI, GROUP, VLAN)
    assert fabric.members == {GROUP: {1, 2, 3}}


def steps_2_and_3_a_broadcast_is_one_packet_to_the_group(fabric: Fabric, request: bytes) -> None:
    fabric.send(1, request, vlan=VLAN)
    assert len(fabric.wire) == 1
    sent = fabric.wire[0]
    assert (sent.source, sent.destination, sent.vni) == (HV1, GROUP, VNI)
    assert sent.packet[22:24] == VXLAN_PORT.to_bytes(2, "big")
    assert sent.packet[28:36] == bytes.fromhex("0800000000000a00")
    assert sent.frame == request
    assert fabric.decisions(1) == ["joined vni_added", "learned local", "flooded broadcast"]


def steps_4_and_5_the_others_learn_and_deliver(fabric: Fabric, request: bytes) -> None:
    fabric.deliver()
    assert fabric.handed == [Handed(2, VNI, VLAN, request), Handed(3, VNI, VLAN, request)]
    assert fabric.remote(2, A) == fabric.remote(3, A) == HV1
    assert (
        fabric.decisions(2)[1:] == fabric.decisions(3)[1:] == ["learned remote", "delivered flood"]
    )


def step_6_the_reply_is_one_unicast_packet(fabric: Fabric, reply: bytes) -> None:
    fabric.send(2, reply)
    assert len(fabric.wire) == 2
    sent = fabric.wire[1]
    assert (sent.source, sent.destination, sent.vni, sent.frame) == (HV2, HV1, VNI, reply)
    assert fabric.decisions(2)[3:] == ["learned local", "sent known_unicast"]


def step_7_the_first_vtep_learns_and_delivers(fabric: Fabric, reply: bytes) -> None:
    fabric.deliver()
    assert fabric.remote(1, B) == HV2
    assert fabric.handed[2:] == [Handed(1, VNI, VLAN, reply)]
    assert fabric.decisions(1)[3:] == ["learned remote", "delivered unicast"]
    assert fabric.row(3, B) is None, "VTEP 3 has seen nothing of the reply"


def step_8_all_further_packets_are_unicast(fabric: Fabric) -> None:
    before = len(fabric.wire)
    for number in range(10):
        fabric.exchange(1, frames.echo(A, B, size=number))
        fabric.exchange(2, frames.echo(B, A, size=number, kind="echo-reply"))
    assert {packet.destination for packet in fabric.wire[before:]} == {HV1, HV2}
    assert len(fabric.wire) == before + 20
    flooded = [core.segments.by_vni[VNI].counters.as_json() for core in fabric.cores.values()]
    assert [each["encapsulated"]["flood"]["packets"] for each in flooded] == [1, 0, 0]
    assert all(not fabric.drops(vtep) for vtep in fabric.cores)
    assert len(fabric.decisions(3)) == 3, "VTEP 3 received the request, and nothing after it"
