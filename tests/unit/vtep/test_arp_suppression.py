"""ARP suppression: what is learned, which requests are answered, and with what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from tests.support.fabric import Fabric
from tests.support.frames import A, B, arp_reply, arp_request, mac
from vtep.arp_suppression import NeighbourTable, reply
from vtep.events import ANSWERED

IP6 = {A: "2001:db8::a", B: "2001:db8::b"}


def solicitation() -> bytes:
    ip = IPv6(src=IP6[A], dst="ff02::1:ff00:b", hlim=255)
    return bytes(Ether(src=A, dst="33:33:ff:00:00:0b") / ip / ICMPv6ND_NS(tgt=IP6[B]))


def advertisement() -> bytes:
    ip = IPv6(src=IP6[B], dst=IP6[A], hlim=255)
    return bytes(
        Ether(src=B, dst=A) / ip / ICMPv6ND_NA(tgt=IP6[B]) / ICMPv6NDOptDstLLAddr(lladdr=B)
    )


def test_the_reply_to_an_arp_request_is_what_its_target_would_send() -> None:
    known = NeighbourTable(100)
    assert known.lookup_target(arp_request()) is None
    known.learn(arp_reply())
    assert known.lookup_target(arp_request()) == mac(B)
    assert Ether(reply(arp_request(), mac(B)))[ARP] == Ether(arp_reply())[ARP]


def test_the_reply_to_a_solicitation_is_what_its_target_would_send() -> None:
    known = NeighbourTable(100)
    known.learn(advertisement())
    assert known.lookup_target(solicitation()) == mac(B)
    made = Ether(reply(solicitation(), mac(B)))
    assert (made.src, made.dst, made[IPv6].src, made[IPv6].dst) == (B, A, IP6[B], IP6[A])
    assert (made[ICMPv6ND_NA].S, made[ICMPv6ND_NA].O, made[ICMPv6NDOptDstLLAddr].lladdr) == (
        1,
        1,
        B,
    )
    remade = made.copy()
    del remade[ICMPv6ND_NA].cksum
    assert bytes(remade) == bytes(made)


def test_probes_and_announcements_are_not_answered() -> None:
    known = NeighbourTable(100)
    known.learn(arp_reply())
    assert known.lookup_target(arp_request(sender="0.0.0.0")) is None
    assert known.lookup_target(arp_request(sender="10.0.0.2", target="10.0.0.2")) is None


def test_a_vtep_answers_for_a_remote_vm_only_if_configured() -> None:
    for suppress in (False, True):
        fabric = Fabric(2).carry(suppress_arp=suppress)
        fabric.exchange(1, arp_request())
        fabric.exchange(2, arp_reply())
        before = len(fabric.wire)
        fabric.exchange(1, arp_request())
        assert (len(fabric.wire) == before) is suppress
        assert any(decision.startswith(ANSWERED) for decision in fabric.decisions(1)) is suppress


@given(st.binary(max_size=100))
def test_no_bytes_raise(frame: bytes) -> None:
    known = NeighbourTable(100)
    known.learn(frame)
    known.lookup_target(frame)
