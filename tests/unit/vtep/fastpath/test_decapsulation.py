"""`from_underlay` of the eBPF program: decapsulate, leave to the agent, or pass to the kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests.support.frames import mac
from tests.support.prog_run import (
    AGEING_S,
    LONG_AGO_S,
    OUT_PORT,
    PASS,
    REDIRECT,
    UNDERLAY_TAP,
    FastPathProgram,
    Outcome,
    needs_prog_run,
)
from vtep.fastpath import layout

pytestmark = needs_prog_run

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
OUR_MAC = "00:00:00:00:00:00"  # of the loopback interface, on which a test run receives
SEGMENT, VNI, OTHER_SEGMENT, OTHER_VNI, VLAN = 3, 0xABCDEF, 4, 20, 30
REMOTE, OTHER_REMOTE = 1, 2
TICK_S = layout.TICK_NS / 1e9
CE, ECT_0, ECT_1 = 3, 2, 1
DATA = Raw(b"x" * 100)
HEAD4 = Ether(src=B, dst=A) / IP(src="10.0.0.2", dst="10.0.0.1", tos=ECT_0)
HEAD6 = Ether(src=B, dst=A) / IPv6(src="2001:db8::2", dst="2001:db8::1", tc=ECT_0)
UDP4, UDP6 = HEAD4 / UDP(sport=7) / DATA, HEAD6 / UDP(sport=7) / DATA
TCP4 = HEAD4 / TCP(sport=7, dport=80)


@pytest.fixture
def kernel(loaded: FastPathProgram) -> FastPathProgram:
    """B is known behind the remote and A behind the port, in one segment of two."""
    loaded.reset()
    loaded.add_remote(REMOTE, loaded.remote)
    loaded.add_remote(OTHER_REMOTE, loaded.other_remote)
    loaded.add_segment(SEGMENT, VNI)
    loaded.add_segment(OTHER_SEGMENT, OTHER_VNI, vlan=VLAN)
    loaded.add_row(SEGMENT, mac(A), 0)
    loaded.add_row(SEGMENT, mac(B), REMOTE)
    return loaded


def outer(
    kernel: FastPathProgram, octet: int = 0, to: str | None = None, **fields: object
) -> Packet:
    """The outer Ethernet and IP headers of a packet from the remote."""
    ends = {"src": kernel.remote, "dst": to or kernel.local}
    kind, name = (IP, "tos") if kernel.family == 4 else (IPv6, "tc")
    return Ether(dst=OUR_MAC) / kind(**{**ends, name: octet, **fields})


def vxlan(vni: int = VNI, **fields: int) -> Packet:
    """The outer UDP header without checksum, and the VXLAN header."""
    return UDP(sport=50_000, dport=4789, chksum=0) / VXLAN(vni=vni, **{"flags": 8, **fields})


def receive(kernel: FastPathProgram, packet: Packet) -> Outcome:
    return kernel.run("from_underlay", bytes(packet))


def assert_delivered(done: Outcome, frame: bytes, redirect: str = "") -> None:
    assert (done.verdict, done.redirect, done.interface) == (REDIRECT, redirect, OUT_PORT)
    assert done.packet == frame


def state(kernel: FastPathProgram) -> tuple[object, ...]:
    """All that the program may change."""
    return kernel.rows(), kernel.counters(SEGMENT), kernel.counters(OTHER_SEGMENT)


def assert_to_agent(kernel: FastPathProgram, packet: Packet) -> None:
    """The whole packet goes to the agent, and nothing is counted or renewed."""
    before = state(kernel)
    done = receive(kernel, packet)
    assert (done.verdict, done.redirect, done.interface) == (REDIRECT, "", UNDERLAY_TAP)
    assert done.packet == bytes(packet)
    assert state(kernel) == before


def assert_passed(kernel: FastPathProgram, packet: Packet) -> None:
    """The packet goes up the kernel's own IP stack."""
    before = state(kernel)
    done = receive(kernel, packet)
    assert (done.verdict, done.redirect) == (PASS, None)
    assert done.packet == bytes(packet)
    assert state(kernel) == before


@pytest.mark.parametrize("frame", [UDP4, UDP6, TCP4], ids=["udp4", "udp6", "tcp4"])
def test_known_unicast_is_decapsulated(kernel: FastPathProgram, frame: Packet) -> None:
    done = receive(kernel, outer(kernel) / vxlan() / frame)
    assert_delivered(done, bytes(frame))
    assert done.pushed is None
    assert kernel.counters(SEGMENT) == (0, 0, 1, len(frame))


def test_the_source_is_renewed_and_the_destination_is_not(kernel: FastPathProgram) -> None:
    assert_delivered(receive(kernel, outer(kernel) / vxlan() / UDP4), bytes(UDP4))
    assert -TICK_S <= kernel.age_s(SEGMENT, mac(B)) < 5.0
    assert kernel.age_s(SEGMENT, mac(A)) >= LONG_AGO_S - TICK_S


def test_a_segment_with_a_vlan_is_delivered_with_its_tag(kernel: FastPathProgram) -> None:
    kernel.add_row(OTHER_SEGMENT, mac(B), REMOTE)
    done = receive(kernel, outer(kernel) / vxlan(OTHER_VNI) / UDP4)
    assert_delivered(done, bytes(UDP4))
    assert done.pushed == VLAN
    assert kernel.counters(OTHER_SEGMENT).decapsulated_packets == 1


def test_only_frames_for_a_known_station_skip_the_queue_of_the_veth(
    kernel: FastPathProgram,
) -> None:
    """And only those of the outer family: bpf_redirect_peer() keeps the outer ethertype."""
    kernel.add_segment(SEGMENT, VNI, flags=layout.PEER)
    own, other = (UDP4, UDP6) if kernel.family == 4 else (UDP6, UDP4)
    assert_delivered(receive(kernel, outer(kernel) / vxlan() / own), bytes(own), "peer")
    assert_delivered(receive(kernel, outer(kernel) / vxlan() / other), bytes(other))
    unknown = Ether(src=B, dst="02:00:00:00:00:0c") / own.payload
    assert_delivered(receive(kernel, outer(kernel) / vxlan() / unknown), bytes(unknown))
    kernel.add_row(SEGMENT, mac(A), OTHER_REMOTE)  # A has moved away
    assert_delivered(receive(kernel, outer(kernel) / vxlan() / own), bytes(own))


def test_congestion_marks_reach_the_inner_packet(kernel: FastPathProgram) -> None:
    """RFC 6040 section 4.2, where the program can mark: both headers of one family."""
    frame = UDP4 if kernel.family == 4 else UDP6
    marked = frame.copy()
    if kernel.family == 4:
        marked[IP].tos = CE
    else:
        marked[IPv6].tc = CE
    done = receive(kernel, outer(kernel, CE) / vxlan() / frame)
    assert_delivered(done, bytes(marked))


def test_the_pieces_of_a_super_packet_are_counted(kernel: FastPathProgram) -> None:
    """Each piece repeats Ethernet, IP and TCP headers: 54 bytes here."""
    frame = TCP4 / Raw(b"x" * 2500)
    overhead = 50 if kernel.family == 4 else 70
    packet = bytes(outer(kernel) / vxlan() / frame)
    done = kernel.run("from_underlay", packet, gso_size=1000, imitate_room=True)
    assert (done.redirect, done.room_calls, done.room) == ("", 1, -overhead)
    assert (done.mode, done.room_flags) == (1, 1)  # BPF_ADJ_ROOM_MAC, FIXED_GSO
    assert kernel.counters(SEGMENT) == (0, 0, 3, 2500 + 3 * 54)


def test_a_super_packet_that_the_kernel_does_not_change_is_for_the_agent(
    kernel: FastPathProgram,
) -> None:
    packet = bytes(outer(kernel) / vxlan() / TCP4 / Raw(b"x" * 2500))
    before = state(kernel)
    done = kernel.run("from_underlay", packet, gso_size=1000)
    assert (done.redirect, done.interface, done.packet) == ("", UNDERLAY_TAP, packet)
    assert state(kernel) == before


def test_the_largest_frame_is_delivered_and_one_byte_more_is_not(kernel: FastPathProgram) -> None:
    kernel.add_segment(SEGMENT, VNI, largest_frame=len(UDP4))
    assert_delivered(receive(kernel, outer(kernel) / vxlan() / UDP4), bytes(UDP4))
    assert_to_agent(kernel, outer(kernel) / vxlan() / UDP4 / Raw(b"y"))


INNER_FOR_THE_AGENT = {
    "unknown source": Ether(src="02:00:00:00:00:0c", dst=A) / UDP4.payload,
    "source of the port": Ether(src=A, dst=A) / UDP4.payload,
    "arp": Ether(src=B, dst=A) / ARP(op=2, hwsrc=B, hwdst=A),
    "inner tag": Ether(src=B, dst=A) / Dot1Q(vlan=5) / UDP4.payload,
    "ip cut short": Raw(bytes(UDP4)[:33]),
    "udp cut short": Raw(bytes(UDP4)[:41]),
    "ethernet cut short": Raw(bytes(UDP4)[:13]),
    "header length below 20": Ether(src=B, dst=A) / IP(ihl=4) / UDP() / DATA,
}


@pytest.mark.parametrize("frame", INNER_FOR_THE_AGENT.values(), ids=INNER_FOR_THE_AGENT.keys())
def test_frames_that_need_a_decision_go_to_the_agent(
    kernel: FastPathProgram, frame: Packet
) -> None:
    assert_to_agent(kernel, outer(kernel) / vxlan() / frame)


HEADERS_FOR_THE_AGENT = {
    "unknown vni": vxlan(VNI ^ 1),
    "vni of another segment": vxlan(OTHER_VNI),
    "flag I clear": vxlan(flags=0),
    "reserved flag": vxlan(flags=0x88),
    "reserved bits before the vni": vxlan(reserved1=1),
    "reserved bits behind the vni": vxlan(reserved2=1),
    "udp checksum": UDP(sport=50_000, dport=4789) / VXLAN(vni=VNI, flags=8),
}


@pytest.mark.parametrize("head", HEADERS_FOR_THE_AGENT.values(), ids=HEADERS_FOR_THE_AGENT.keys())
def test_unusual_vxlan_headers_are_for_the_agent(kernel: FastPathProgram, head: Packet) -> None:
    assert_to_agent(kernel, outer(kernel) / head / UDP4)


def test_a_packet_to_a_group_is_for_the_agent(kernel: FastPathProgram) -> None:
    group = "239.1.1.10" if kernel.family == 4 else "ff05::10"
    packet = outer(kernel, to=group) / vxlan() / UDP4
    packet.dst = "01:00:5e:01:01:0a"
    assert_to_agent(kernel, packet)


@pytest.mark.parametrize(
    ("outside", "inside"), [(CE, 0), (ECT_1, ECT_0)], ids=["ce on not-ect", "ect(1) on ect(0)"]
)
def test_ecn_that_is_not_simply_copied_is_for_the_agent(
    kernel: FastPathProgram, outside: int, inside: int
) -> None:
    """RFC 6040 section 4.2: dropped, or marked with the inner checksum; the agent does both."""
    frame = UDP4.copy()
    frame[IP].tos = inside
    assert_to_agent(kernel, outer(kernel, outside) / vxlan() / frame)


def test_a_mark_for_the_other_family_is_for_the_agent(kernel: FastPathProgram) -> None:
    """bpf_skb_ecn_set_ce() looks at the ethertype of the outer packet."""
    other = UDP6 if kernel.family == 4 else UDP4
    assert_to_agent(kernel, outer(kernel, CE) / vxlan() / other)


def test_neighbour_discovery_is_for_the_agent_if_it_answers_it(kernel: FastPathProgram) -> None:
    solicitation = HEAD6 / ICMPv6ND_NS(tgt="2001:db8::1")
    packet = outer(kernel) / vxlan() / solicitation
    assert_delivered(receive(kernel, packet), bytes(solicitation))
    kernel.add_segment(SEGMENT, VNI, flags=layout.SUPPRESS)
    assert_to_agent(kernel, packet)


STATES: dict[str, Callable[[FastPathProgram], None]] = {
    "paused": lambda kernel: kernel.configure(paused=1),
    "mac moved": lambda kernel: kernel.add_row(SEGMENT, mac(B), OTHER_REMOTE),
    "mac moved here": lambda kernel: kernel.add_row(SEGMENT, mac(B), 0),
    "mac aged": lambda kernel: kernel.add_row(SEGMENT, mac(B), REMOTE, AGEING_S + 1.0),
    "remote changed": lambda kernel: kernel.add_remote(REMOTE, kernel.other_remote),
    "segment removed": lambda kernel: kernel.remove_segment(SEGMENT, VNI),
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES.keys())
def test_the_maps_decide_what_goes_to_the_agent(
    kernel: FastPathProgram, change: Callable[[FastPathProgram], None]
) -> None:
    packet = outer(kernel) / vxlan() / UDP4
    assert_delivered(receive(kernel, packet), bytes(UDP4))
    change(kernel)
    assert_to_agent(kernel, packet)


def test_a_permanent_row_does_not_age(kernel: FastPathProgram) -> None:
    kernel.add_row(SEGMENT, mac(B), REMOTE, AGEING_S + 1.0, flags=layout.PERMANENT)
    assert_delivered(receive(kernel, outer(kernel) / vxlan() / UDP4), bytes(UDP4))


def test_what_is_not_vxlan_for_this_host_is_left_to_the_kernel(kernel: FastPathProgram) -> None:
    good = outer(kernel) / vxlan() / UDP4
    other_host = good.copy()
    other_host.dst = "02:00:00:00:00:99"
    assert_passed(kernel, other_host)
    assert_passed(kernel, outer(kernel, to=kernel.other_remote) / vxlan() / UDP4)
    assert_passed(kernel, outer(kernel) / UDP(sport=1, dport=4790) / VXLAN(vni=VNI) / UDP4)
    assert_passed(kernel, outer(kernel) / TCP(dport=4789) / DATA)
    assert_passed(kernel, Ether(dst=OUR_MAC) / ARP())
    shorter_udp_length = outer(kernel) / vxlan() / UDP4
    shorter_udp_length[UDP].len = 60
    assert_passed(kernel, shorter_udp_length)
    longer_than_its_udp_length = Ether(bytes(good) + b"padding")
    assert_passed(kernel, longer_than_its_udp_length)


def test_broken_outer_headers_are_left_to_the_kernel(kernel: FastPathProgram) -> None:
    rest = vxlan() / UDP4
    if kernel.family == 6:
        fragment = outer(kernel) / IPv6ExtHdrFragment(m=1)
        for packet in (outer(kernel, version=5), outer(kernel, src="::1"), fragment):
            assert_passed(kernel, packet / rest)
        return
    for fields in (
        {"chksum": 1}, {"flags": "MF"}, {"frag": 100}, {"version": 5}, {"src": "127.0.0.1"},
        {"src": "224.0.0.1"}, {"src": "0.0.0.0"}, {"len": 60},
    ):  # fmt: skip
        assert_passed(kernel, outer(kernel, **fields) / rest)


def test_a_packet_with_a_vlan_tag_is_left_to_the_kernel(kernel: FastPathProgram) -> None:
    packet = bytes(outer(kernel) / vxlan() / UDP4)
    done = kernel.run("from_underlay", packet, vlan=5)
    assert (done.verdict, done.redirect, done.packet) == (PASS, None, packet)
