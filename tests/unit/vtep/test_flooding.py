"""Head-end replication, several remotes per MAC, trusted remotes, outer TTL and traffic class."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from tests.support.frames import A, B, arp_request, mac, tagged, tcp
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import PortId, ToPort, ToUnderlay
from vtep.options import Options
from vtep.segments import SegmentSpec

TRUNK = PortId(0)
REMOTES = ("192.0.2.12", "192.0.2.13")


def prepared(**options: Any) -> Core:
    core = Core(Options("192.0.2.11", **options))
    core.add_segment(SegmentSpec(10, TRUNK, 1, None, remotes=REMOTES), 0.0)
    return core


def packets(core: Core, frame: bytes) -> list[ToUnderlay]:
    """The packets that a frame from the port causes."""
    effects, _ = core.frame_from_port(TRUNK, 1, frame, 0.0)
    found = [effect for effect in effects if isinstance(effect, ToUnderlay)]
    assert len(found) == len(effects)
    return found


def test_head_end_replication_sends_one_packet_to_each_remote_and_joins_nothing() -> None:
    core = prepared()
    sent = packets(core, arp_request())
    assert [effect.destination for effect in sent] == list(REMOTES)
    inner = {bytes(effect.packet[36:]) for effect in sent}
    assert inner == {arp_request()}
    (row,) = [core.segments.by_vni[10].counters.encapsulated]
    assert row == [0, 0, 2, 2 * len(arp_request())]
    assert core.remove_segment(10, 1.0) == ((), ())


def test_a_mac_with_several_remotes_uses_one_for_each_flow() -> None:
    core = prepared()
    for remote in REMOTES:
        core.set_static(10, mac(B), remote, 0.0, add=True)

    def way(sport: int) -> str:
        (effect,) = packets(core, tcp(sport=sport))
        return effect.destination

    ways = {sport: way(sport) for sport in range(1024, 1088)}
    assert set(ways.values()) == set(REMOTES)
    assert all(way(sport) == remote for sport, remote in ways.items())


def test_packets_of_untrusted_remotes_are_dropped() -> None:
    core = prepared(trusted=frozenset(REMOTES[:1]))
    packet = bytes.fromhex("0800000000000a00") + arp_request()
    assert core.datagram_from_underlay(REMOTES[0], 50_000, False, packet, 0.0)[0]
    assert not core.datagram_from_underlay(REMOTES[1], 50_000, False, packet, 0.0)[0]


@pytest.mark.parametrize(("ttl", "outer"), [(64, 64), (None, 33)])
@pytest.mark.parametrize(("dscp", "octet"), [(0, 2), (0xB8, 0xBA), (None, 0x2A)])
def test_ttl_and_traffic_class_are_fixed_or_inherited(
    ttl: int | None, outer: int, dscp: int | None, octet: int
) -> None:
    core = prepared(ttl=ttl, dscp=dscp)
    inner = Ether(src=A, dst=B) / IP(dst="10.0.0.2", ttl=33, tos=0x2A) / UDP()
    effect = packets(core, bytes(inner))[0]
    sent = IP(bytes(effect.packet))
    assert (sent.ttl, sent.tos) == (outer, octet)


def test_a_packet_over_ipv6_is_complete_and_its_checksum_right() -> None:
    core = Core(Options("2001:db8::11", ttl=9, udp_checksum=True))
    core.add_segment(SegmentSpec(10, TRUNK, 1, "ff05::10"), 0.0)
    (effect,) = packets(core, arp_request())
    sent = IPv6(bytes(effect.packet))
    assert (sent.src, sent.dst, sent.hlim) == ("2001:db8::11", "ff05::10", 9)
    assert (sent[UDP].dport, sent[VXLAN].vni, int(sent[VXLAN].flags)) == (4789, 10, 8)
    right = sent[UDP].chksum
    del sent[UDP].chksum, sent[UDP].len, sent.plen
    remade = IPv6(bytes(sent))
    assert remade[UDP].chksum == right != 0


def test_a_frame_that_is_too_big_causes_an_icmp_message_unless_disabled() -> None:
    big = bytes(Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / bytes(1500))
    (answer,), _ = prepared(mtu=1500).frame_from_port(TRUNK, 1, big, 0.0)
    assert isinstance(answer, ToPort)
    assert Ether(answer.frame)["ICMP"].nexthopmtu == 1450
    assert not prepared(mtu=1500, icmp_too_big=False).frame_from_port(TRUNK, 1, big, 0.0)[0]


def test_the_vteps_own_address_in_the_list_of_remotes_is_ignored() -> None:
    core = Core(Options("192.0.2.11"))
    core.add_segment(SegmentSpec(10, TRUNK, 1, None, remotes=("192.0.2.11", *REMOTES)), 0.0)
    sent = packets(core, arp_request())
    assert [effect.destination for effect in sent] == list(REMOTES)


@pytest.mark.parametrize("tags", [(), (7,), (7, 8)])
def test_the_reported_mtu_accounts_for_carried_tags(tags: tuple[int, ...]) -> None:
    core = Core(Options("192.0.2.11", mtu=1500))
    core.add_segment(SegmentSpec(10, TRUNK, None, "239.1.1.10", carry_tags=True), 0.0)
    (message,), _ = core.frame_from_port(TRUNK, None, tagged(tcp(payload=bytes(1460)), *tags), 0.0)
    assert isinstance(message, ToPort)
    assert Ether(message.frame)[ICMP].nexthopmtu == 1450 - 4 * len(tags)


def test_a_lost_icmp_message_is_not_counted_as_a_frame_of_the_tunnel() -> None:
    core = prepared(mtu=1500)
    (message,), _ = core.frame_from_port(TRUNK, 1, tcp(payload=bytes(1460)), 0.0)
    assert isinstance(message, ToPort)
    core.failed(message, DropReason.PORT_DOWN)
    counters = core.segments.by_vni[10].counters
    assert counters.decapsulated == [0, 0, 0, 0]
    assert counters.drops[DropReason.PORT_DOWN] == 1
