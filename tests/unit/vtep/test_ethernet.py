"""Reading frames: flow hashes, tags, addresses, summaries."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from tests.support import frames
from tests.support.frames import A, B, mac, tagged
from vtep.constants import FIRST_SOURCE_PORT, LAST_SOURCE_PORT
from vtep.ethernet import (
    ethertype_of,
    flow_hash,
    is_group_address,
    is_learnable,
    is_tagged,
    mac_bytes,
    mac_text,
    summary,
    tag,
    without_tags,
)
from vtep.wire import source_port


def outer_port(frame: bytes) -> int:
    return source_port(flow_hash(frame), FIRST_SOURCE_PORT, LAST_SOURCE_PORT)


FLOWS = {
    "tcp": lambda n: frames.tcp(sport=1024 + n),
    "tcp6": lambda n: frames.tcp6(sport=1024 + n),
    "udp by destination": lambda n: frames.udp(dport=1024 + n),
    "udp6": lambda n: frames.udp6(dport=1024 + n),
    "stations": lambda n: frames.plain(source=f"02:00:00:00:01:{n:02x}", destination=B),
    "tagged tcp": lambda n: tagged(frames.tcp(sport=1024 + n), 7),
}


@pytest.mark.parametrize("kind", FLOWS)
def test_different_flows_use_different_ports(kind: str) -> None:
    """Ten flows, more than eight ports (RFC 7348 section 5: entropy for ECMP)."""
    assert len({outer_port(FLOWS[kind](number)) for number in range(10)}) > 8
    assert len({outer_port(FLOWS[kind](number)) for number in range(200)}) > 190


@pytest.mark.parametrize("make", [frames.tcp, frames.tcp6])
def test_one_flow_has_one_port_whatever_it_carries(make: Callable[..., bytes]) -> None:
    segments = [
        make(seq=1),
        make(seq=99, flags="PA", payload=b"x" * 999),
        make(ack=7, flags="F", window=1),
    ]
    assert len({outer_port(segment) for segment in segments}) == 1


def test_udp_payload_and_ttl_do_not_change_the_port() -> None:
    one, other = frames.udp(payload=b"a"), bytearray(frames.udp(payload=b"b" * 500))
    other[22] -= 1  # TTL
    assert outer_port(one) == outer_port(bytes(other))


def test_all_fragments_of_a_datagram_have_one_port() -> None:
    head = IP(src="10.0.0.1", dst="10.0.0.2", proto=17, id=9)
    whole = Ether(src=A, dst=B) / head / UDP(sport=1, dport=2) / Raw(b"x" * 3000)
    pieces = [bytes(Ether(src=A, dst=B) / piece) for piece in whole[IP].fragment(1000)]
    assert len(pieces) == 4
    assert len({flow_hash(piece) for piece in pieces}) == 1


def test_all_fragments_have_one_port_over_ipv6() -> None:
    def fragment(offset: int, more: int, data: bytes) -> bytes:
        head = IPv6(src="2001:db8::1", dst="2001:db8::2")
        part = IPv6ExtHdrFragment(offset=offset, m=more, id=9, nh=17)
        return bytes(Ether(src=A, dst=B) / head / part / Raw(data))

    assert flow_hash(fragment(0, 1, b"abcdefgh")) == flow_hash(fragment(1, 0, b"ijkl"))


def test_ip_options_do_not_hide_the_ports() -> None:
    def with_options(sport: int) -> bytes:
        head = IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_NOP()] * 4)
        return bytes(Ether(src=A, dst=B) / head / UDP(sport=sport, dport=2))

    assert len({flow_hash(with_options(sport)) for sport in range(10)}) == 10


@pytest.mark.parametrize("make", [frames.udp, frames.udp6])
def test_the_addresses_of_a_packet_without_ports_are_enough(make: Callable[..., bytes]) -> None:
    head = make()[: 54 if make is frames.udp6 else 34]
    assert flow_hash(head) == flow_hash(mac(frames.C) + head[6:]), "the MACs do not count"


def test_a_ping_has_one_port_for_each_pair_of_hosts() -> None:
    assert flow_hash(frames.echo(size=8)) == flow_hash(frames.echo(size=1400))
    assert flow_hash(frames.echo(A, B)) != flow_hash(frames.echo(A, frames.C))


@given(
    st.binary(max_size=120), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8"])
)
def test_a_hash_is_32_bits_of_any_bytes(data: bytes, ethertype: bytes) -> None:
    for frame in (data, data[:12] + ethertype + data[12:]):
        assert 0 <= flow_hash(frame) < 1 << 32


def test_all_tags_are_removed() -> None:
    frame = frames.arp_request()
    assert without_tags(frame) is frame
    assert without_tags(tagged(frame, 5)) == frame
    assert without_tags(tagged(frame, 5, 6, 7)) == frame
    service = frame[:12] + b"\x88\xa8\x00\x05" + frame[12:]
    assert is_tagged(service) and without_tags(service) == frame


def test_a_tag_is_what_scapy_reads() -> None:
    frame = frames.echo()
    built = frame[:12] + tag(4094) + frame[12:]
    read = frames.parsed(built)[Dot1Q]
    assert (read.vlan, read.prio, read.type) == (4094, 0, 0x0800)
    assert is_tagged(built) and not is_tagged(frame)


@given(st.binary(max_size=60))
def test_removing_tags_copes_with_any_bytes(data: bytes) -> None:
    for frame in (data, data[:12] + b"\x81\x00" * (len(data) % 5) + data[12:]):
        assert not is_tagged(without_tags(frame))
        assert without_tags(frame)[:12] == frame[:12]


@pytest.mark.parametrize(
    ("address", "group", "learnable"),
    [
        ("02:00:00:00:00:0a", False, True),
        ("00:00:00:00:00:01", False, True),
        ("00:00:00:00:00:00", False, False),
        ("01:00:5e:01:01:0a", True, False),
        ("33:33:00:00:00:01", True, False),
        ("ff:ff:ff:ff:ff:ff", True, False),
    ],
)
def test_kinds_of_addresses(address: str, group: bool, learnable: bool) -> None:
    assert is_group_address(mac(address)) is group
    assert is_learnable(mac(address)) is learnable


@given(st.binary(min_size=6, max_size=6))
def test_a_mac_converted_to_text_and_back_is_unchanged(address: bytes) -> None:
    assert mac_bytes(mac_text(address)) == address
    assert mac_bytes(mac_text(address).upper()) == address


@pytest.mark.parametrize(
    "text",
    ["", "02:00:00:00:00", "02:00:00:00:00:0a:0b", "020000:00000a::::", "02-00-00-00-00-0a",
     "02:00:00:00:00:0g", " 02:00:00:00:00:0a", "2:0:0:0:0:a", "02 00:00:00:00:00:0a"],
)  # fmt: skip
def test_an_invalid_mac_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        mac_bytes(text)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (frames.arp_request(), "ARP who-has 10.0.0.2 tell 10.0.0.1"),
        (frames.arp_reply(), "ARP 10.0.0.2 is-at 02:00:00:00:00:0b"),
        (frames.echo(), "ICMP echo request 10.0.0.1 -> 10.0.0.2"),
        (frames.echo(kind="echo-reply"), "ICMP echo reply 10.0.0.1 -> 10.0.0.2"),
        (frames.echo(kind="time-exceeded"), "ICMP type 11 10.0.0.1 -> 10.0.0.2"),
        (frames.tcp(sport=5), "TCP 10.0.0.1:5 -> 10.0.0.2:80"),
        (frames.udp(sport=5), "UDP 10.0.0.1:5 -> 10.0.0.2:53"),
        (frames.echo6(), "ICMPv6 echo request 2001:db8::1 -> 2001:db8::2"),
        (frames.solicitation6(), "ICMPv6 neighbor solicitation 2001:db8::1 -> ff02::1:ff00:2"),
        (frames.tcp6(sport=5), "TCP 2001:db8::1:5 -> 2001:db8::2:80"),
        (frames.plain(), "ethertype 0x88b5"),
        (tagged(frames.arp_request(), 5), "ARP who-has 10.0.0.2 tell 10.0.0.1"),
        (b"", "ethertype 0x0000"),
    ],
)
def test_the_summary_of_a_frame(frame: bytes, words: str) -> None:
    assert summary(frame) == words


def test_the_summary_of_a_later_fragment_has_no_ports() -> None:
    head = IP(src="10.0.0.1", dst="10.0.0.2", proto=17, frag=100)
    assert summary(bytes(Ether(src=A, dst=B) / head / Raw(b"x" * 40))) == "UDP 10.0.0.1 -> 10.0.0.2"


@given(st.binary(max_size=100), st.sampled_from([0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8]))
def test_a_summary_never_raises(data: bytes, ethertype: int) -> None:
    for frame in (data, data[:12].ljust(12, b"\2") + ethertype.to_bytes(2, "big") + data[12:]):
        assert summary(frame) and "\n" not in summary(frame)


@pytest.mark.parametrize("make", [frames.arp_request, frames.echo, frames.tcp6, frames.echo6])
def test_a_truncated_frame_still_has_a_summary_and_a_hash(
    make: Callable[..., bytes],
) -> None:
    frame = make()
    for length in range(len(frame)):
        assert summary(frame[:length])
        assert flow_hash(frame[:length]) >= 0
        assert 0 <= ethertype_of(frame[:length]) <= 0xFFFF
