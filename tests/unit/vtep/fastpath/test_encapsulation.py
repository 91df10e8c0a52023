"""`from_port` of the eBPF program: encapsulate, or leave to the agent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests.support.frames import mac
from tests.support.prog_run import (
    AGEING_S,
    LONG_AGO_S,
    PASS,
    PORT_TAP,
    REDIRECT,
    UNDERLAY,
    FastPathProgram,
    Outcome,
    needs_prog_run,
)
from vtep.ethernet import flow_hash
from vtep.fastpath import layout
from vtep.wire import source_port

pytestmark = needs_prog_run

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
SEGMENT, VNI = 3, 0xABCDEF
TAGGED_SEGMENT, TAGGED_VNI, VLAN = 4, 20, 30
REMOTE, ROUTED_REMOTE = 1, 2
PRIORITY_3 = 3 << 13  # in a VLAN tag
TICK_S = layout.TICK_NS / 1e9

UDP4 = Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2", tos=0xB9, ttl=33) / UDP(sport=7)
UDP6 = Ether(src=A, dst=B) / IPv6(src="2001:db8::1", dst="2001:db8::2", tc=0xB9, hlim=33) / UDP()
TCP4 = Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=7, dport=80)
DATA = Raw(b"x" * 100)


@pytest.fixture
def kernel(loaded: FastPathProgram) -> FastPathProgram:
    """A is local and B is remote, in an untagged segment and in one with a VLAN tag."""
    loaded.reset()
    loaded.add_remote(REMOTE, loaded.remote)
    loaded.add_segment(SEGMENT, VNI)
    loaded.add_segment(TAGGED_SEGMENT, TAGGED_VNI, vlan=VLAN)
    for segment in (SEGMENT, TAGGED_SEGMENT):
        loaded.add_row(segment, mac(A), 0)
        loaded.add_row(segment, mac(B), REMOTE)
    return loaded


def send(kernel: FastPathProgram, frame: Packet, vlan: int | None = None) -> Outcome:
    """A frame from the VM behind the port."""
    return kernel.run("from_port", bytes(frame), vlan=vlan)


def outer(kernel: FastPathProgram, done: Outcome) -> Packet:
    """The outer IP packet, if the frame went to the underlay; its checksum is verified."""
    assert (done.verdict, done.redirect, done.interface) == (REDIRECT, "neigh", UNDERLAY)
    packet = Ether(done.packet)
    ip = packet[IP] if kernel.family == 4 else packet[IPv6]
    assert packet.payload is ip  # directly behind the Ethernet header
    if kernel.family == 4:
        again = ip.copy()
        del again.chksum
        assert IP(bytes(again)).chksum == ip.chksum
    return ip


def inner(done: Outcome) -> bytes:
    """The frame in the tunnel."""
    return bytes(Ether(done.packet)[VXLAN].payload)


def assert_to_agent(kernel: FastPathProgram, frame: Packet, vlan: int | None = None) -> None:
    """The frame goes to the agent as it is, and nothing is counted or renewed."""
    before = kernel.rows(), kernel.counters(SEGMENT), kernel.counters(TAGGED_SEGMENT)
    done = send(kernel, frame, vlan)
    assert (done.verdict, done.redirect, done.interface) == (REDIRECT, "", PORT_TAP)
    assert done.packet == bytes(frame)
    assert before == (kernel.rows(), kernel.counters(SEGMENT), kernel.counters(TAGGED_SEGMENT))


@pytest.mark.parametrize("head", [UDP4, UDP6, TCP4], ids=["udp4", "udp6", "tcp4"])
def test_known_unicast_is_encapsulated(kernel: FastPathProgram, head: Packet) -> None:
    frame = bytes(head / DATA)
    done = send(kernel, Ether(frame))
    ip = outer(kernel, done)
    assert (ip.src, ip.dst) == (kernel.local, kernel.remote)
    assert done.next_hop == kernel.remote
    ecn = 0 if head is TCP4 else 0xB9 & 3  # copied from the inner header (RFC 6040 section 4.1)
    if kernel.family == 4:
        assert (ip.ttl, ip.tos, ip.id, str(ip.flags)) == (64, ecn, 0, "DF")
        assert ip.len == len(done.packet) - 14
    else:
        assert (ip.hlim, ip.tc, ip.fl) == (64, ecn, 0)
        assert ip.plen == len(done.packet) - 54
    udp = ip[UDP]
    assert udp.sport == source_port(flow_hash(frame), 49152, 65535)  # the port the agent chooses
    assert (udp.dport, udp.len, udp.chksum) == (4789, len(frame) + 16, 0)
    assert bytes(udp.payload)[:8] == b"\x08\0\0\0" + VNI.to_bytes(3, "big") + b"\0"
    assert inner(done) == frame
    assert kernel.counters(SEGMENT) == (1, len(frame), 0, 0)


def test_the_source_is_renewed_and_the_destination_is_not(kernel: FastPathProgram) -> None:
    outer(kernel, send(kernel, UDP4 / DATA))
    assert -TICK_S <= kernel.age_s(SEGMENT, mac(A)) < 5.0
    assert kernel.age_s(SEGMENT, mac(B)) >= LONG_AGO_S - TICK_S


def test_a_tag_chooses_the_segment_and_is_not_sent(kernel: FastPathProgram) -> None:
    """RFC 7348 section 6.1: the inner frame has no VLAN tag."""
    done = send(kernel, UDP4 / DATA, vlan=PRIORITY_3 | VLAN)
    assert outer(kernel, done)[VXLAN].vni == TAGGED_VNI
    assert inner(done) == bytes(UDP4 / DATA) and done.popped == 1
    assert kernel.counters(TAGGED_SEGMENT).encapsulated_packets == 1
    assert kernel.counters(SEGMENT).encapsulated_packets == 0


@pytest.mark.parametrize("head", [UDP4, UDP6], ids=["udp4", "udp6"])
def test_ttl_and_dscp_are_inherited_if_configured(kernel: FastPathProgram, head: Packet) -> None:
    kernel.configure(ttl=0, dscp=layout.INHERIT)
    ip = outer(kernel, send(kernel, head / DATA))
    assert (ip.ttl, ip.tos) == (33, 0xB9) if kernel.family == 4 else (ip.hlim, ip.tc) == (33, 0xB9)


def test_a_configured_dscp_leaves_the_inner_ecn(kernel: FastPathProgram) -> None:
    """RFC 6040 section 4.1: the ECN field is copied to the outer header."""
    kernel.configure(dscp=0x28)
    ip = outer(kernel, send(kernel, UDP4 / DATA))
    assert (ip.tos if kernel.family == 4 else ip.tc) == 0x28 | 0xB9 & 3


def test_without_df_packets_have_an_identification(kernel: FastPathProgram) -> None:
    if kernel.family == 6:
        return  # IPv6 has neither
    kernel.configure(dont_fragment=0)
    packets = [outer(kernel, send(kernel, UDP4 / DATA)) for _ in range(8)]
    assert {str(ip.flags) for ip in packets} == {""}
    assert len({ip.id for ip in packets}) > 1


def test_a_remote_behind_a_router_is_left_to_routing(kernel: FastPathProgram) -> None:
    kernel.add_remote(ROUTED_REMOTE, kernel.other_remote, on_link=False)
    kernel.add_row(SEGMENT, mac(B), ROUTED_REMOTE)
    done = send(kernel, UDP4 / DATA)
    assert outer(kernel, done).dst == kernel.other_remote
    assert done.next_hop is None


def test_room_is_made_with_the_tunnel_described_to_the_kernel(kernel: FastPathProgram) -> None:
    """Only where needed: a frame of the other family, or one with a segment size (GSO)."""
    own, other = (UDP4, UDP6) if kernel.family == 4 else (UDP6, UDP4)
    assert send(kernel, own / DATA).room_calls == 0
    done = send(kernel, other / DATA)
    overhead = 50 if kernel.family == 4 else 70
    assert (done.room_calls, done.room, done.mode) == (1, overhead, 1)  # BPF_ADJ_ROOM_MAC
    fixed_gso, l3 = 1 << 0, 1 << (1 if kernel.family == 4 else 2)
    l4_udp, l2_ethernet, l2_length = 1 << 4, 1 << 6, 14 << 56
    assert done.room_flags == fixed_gso | l3 | l4_udp | l2_ethernet | l2_length


def test_the_pieces_of_a_super_frame_are_counted(kernel: FastPathProgram) -> None:
    """Each piece repeats Ethernet, IP and TCP headers: 54 bytes here."""
    size, payload = 1000, 2500
    frame = bytes(TCP4 / Raw(b"x" * payload))
    done = kernel.run("from_port", frame, gso_size=size, imitate_room=True)
    assert (done.verdict, done.redirect, done.room_calls) == (REDIRECT, "neigh", 1)
    assert kernel.counters(SEGMENT) == (3, payload + 3 * 54, 0, 0)


def test_a_super_frame_is_for_the_agent_if_a_piece_does_not_fit(kernel: FastPathProgram) -> None:
    frame = bytes(TCP4 / Raw(b"x" * 2500))
    for largest, redirect in ((1054, "neigh"), (1053, "")):
        kernel.configure(largest_frame=largest)
        done = kernel.run("from_port", frame, gso_size=1000, imitate_room=True)
        assert done.redirect == redirect


def test_what_the_kernel_refuses_to_change_is_for_the_agent(kernel: FastPathProgram) -> None:
    """The kernel refuses to encapsulate a super-frame of unknown protocol. The tag is put back."""
    frame = bytes(TCP4 / Raw(b"x" * 2500))
    done = kernel.run("from_port", frame, vlan=VLAN, gso_size=1000)
    assert (done.redirect, done.interface) == ("", PORT_TAP)
    assert (done.popped, done.pushed, done.packet) == (1, VLAN, frame)
    assert kernel.counters(TAGGED_SEGMENT) == (0, 0, 0, 0)


def test_the_largest_frame_is_encapsulated_and_one_byte_more_is_not(
    kernel: FastPathProgram,
) -> None:
    kernel.configure(largest_frame=len(UDP4 / DATA))
    outer(kernel, send(kernel, UDP4 / DATA))
    assert_to_agent(kernel, UDP4 / DATA / Raw(b"y"))


FOR_THE_AGENT = {
    "broadcast": Ether(src=A, dst="ff:ff:ff:ff:ff:ff") / UDP4[IP] / DATA,
    "multicast": Ether(src=A, dst="01:00:5e:00:00:01") / UDP4[IP] / DATA,
    "unknown destination": Ether(src=A, dst="02:00:00:00:00:0c") / UDP4[IP] / DATA,
    "destination behind the same port": Ether(src=A, dst=A) / UDP4[IP] / DATA,
    "unknown source": Ether(src="02:00:00:00:00:0c", dst=B) / UDP4[IP] / DATA,
    "source that moved here": Ether(src=B, dst=B) / UDP4[IP] / DATA,
    "arp": Ether(src=A, dst=B) / ARP(op=2, hwsrc=A, hwdst=B),
    "inner tag": Ether(src=A, dst=B) / Dot1Q(vlan=5) / UDP4[IP] / DATA,
    "header length below 20": Ether(src=A, dst=B) / IP(ihl=4) / UDP() / DATA,
}


@pytest.mark.parametrize("frame", FOR_THE_AGENT.values(), ids=FOR_THE_AGENT.keys())
def test_everything_else_goes_to_the_agent_unchanged(
    kernel: FastPathProgram, frame: Packet
) -> None:
    assert_to_agent(kernel, frame)


@pytest.mark.parametrize(
    ("frame", "keep"), [(UDP4, 14), (UDP4, 33), (UDP4, 41), (TCP4, 53), (UDP6, 53), (UDP6, 61)]
)
def test_a_frame_without_whole_headers_is_for_the_agent(
    kernel: FastPathProgram, frame: Packet, keep: int
) -> None:
    whole = bytes(frame / DATA)
    done = kernel.run("from_port", whole, keep=keep)
    assert (done.redirect, done.interface) == ("", PORT_TAP)
    assert done.packet == whole[:keep]
    assert kernel.counters(SEGMENT) == (0, 0, 0, 0)


def test_a_group_address_is_flooded_by_the_agent_even_if_it_has_a_row(
    kernel: FastPathProgram,
) -> None:
    kernel.add_row(SEGMENT, mac("ff:ff:ff:ff:ff:ff"), REMOTE)
    assert_to_agent(kernel, FOR_THE_AGENT["broadcast"])


def age(kernel: FastPathProgram, station: str, remote: int) -> None:
    kernel.add_row(SEGMENT, mac(station), remote, age_s=AGEING_S + 1.0)


STATES: dict[str, Callable[[FastPathProgram], None]] = {
    "paused": lambda kernel: kernel.configure(paused=1),
    "source aged": lambda kernel: age(kernel, A, 0),
    "destination aged": lambda kernel: age(kernel, B, REMOTE),
    "remote without number": lambda kernel: kernel.add_row(SEGMENT, mac(B), 0),
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES.keys())
def test_the_maps_decide_what_goes_to_the_agent(
    kernel: FastPathProgram, change: Callable[[FastPathProgram], None]
) -> None:
    outer(kernel, send(kernel, UDP4 / DATA))
    change(kernel)
    assert_to_agent(kernel, UDP4 / DATA)


def test_a_permanent_row_does_not_age(kernel: FastPathProgram) -> None:
    age_s = AGEING_S + 1.0
    kernel.add_row(SEGMENT, mac(B), REMOTE, age_s, flags=layout.PERMANENT)
    outer(kernel, send(kernel, UDP4 / DATA))


@pytest.mark.parametrize("vlan", [VLAN + 1, 4095])
def test_a_tag_without_segment_is_for_the_agent(kernel: FastPathProgram, vlan: int) -> None:
    assert_to_agent(kernel, UDP4 / DATA, vlan=vlan)


def test_a_priority_tag_is_for_the_agent(kernel: FastPathProgram) -> None:
    """IEEE 802.1Q: VLAN 0 means no VLAN, only a priority."""
    assert_to_agent(kernel, UDP4 / DATA, vlan=PRIORITY_3)


def test_neighbour_discovery_is_for_the_agent_if_it_answers_it(kernel: FastPathProgram) -> None:
    head = Ether(src=A, dst=B) / IPv6(src="2001:db8::1", dst="2001:db8::2")
    solicitation = head / ICMPv6ND_NS(tgt="2001:db8::2")
    outer(kernel, send(kernel, solicitation))
    kernel.add_segment(SEGMENT, VNI, flags=layout.SUPPRESS)
    assert_to_agent(kernel, solicitation)


def test_an_interface_that_is_no_port_is_left_alone(kernel: FastPathProgram) -> None:
    kernel.set_port_interface(9)
    done = send(kernel, UDP4 / DATA)
    assert (done.verdict, done.redirect, done.packet) == (PASS, None, bytes(UDP4 / DATA))
