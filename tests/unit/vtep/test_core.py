"""The core with valid frames and packets."""

from __future__ import annotations

import pytest

from tests.support import frames
from tests.support.fabric import GROUP, TRUNK, VNI, Fabric, Handed
from tests.support.frames import A, B, C, plain, tagged
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import JoinGroup, LeaveGroup
from vtep.options import Options
from vtep.segments import SegmentSpec, SegmentTaken

HV1, HV2, HV3 = "192.0.2.11", "192.0.2.12", "192.0.2.13"
STRANGER = "02:00:00:00:00:77"


def shown(fabric: Fabric, vtep: int, vni: int = VNI) -> dict[str, tuple[int, int]]:
    """Packets and bytes by direction and kind, without zeros."""
    counters = fabric.cores[vtep].segments.by_vni[vni].counters.as_json()
    return {
        f"{way} {kind}": (each["packets"], each["bytes"])
        for way in ("encapsulated", "decapsulated")
        for kind, each in counters[way].items()
        if each["packets"]
    }


# -- groups


def test_the_first_segment_joins_and_the_last_leaves_a_shared_group() -> None:
    core = Core(Options(local=HV1))
    assert core.add_segment(SegmentSpec(10, TRUNK, 1, GROUP), 0.0)[0] == (JoinGroup(GROUP),)
    assert core.add_segment(SegmentSpec(20, TRUNK, 2, GROUP), 0.0)[0] == ()
    assert core.remove_segment(10, 0.0)[0] == ()
    assert core.remove_segment(20, 0.0)[0] == (LeaveGroup(GROUP),)


def test_a_conflicting_segment_changes_nothing() -> None:
    fabric = Fabric(1).carry()
    with pytest.raises(SegmentTaken):
        fabric.cores[1].add_segment(SegmentSpec(20, TRUNK, 1, "239.9.9.9"), 0.0)
    assert list(fabric.cores[1].segments.by_vni) == [VNI]
    assert fabric.decisions(1) == ["joined vni_added"]


def test_a_shared_group_does_not_mix_vnis() -> None:
    fabric = Fabric(3).carry(10, GROUP, 1).carry(20, GROUP, 2, on=[1, 3])
    fabric.exchange(1, plain(payload=b"ten" * 20), vlan=1)
    fabric.exchange(1, plain(payload=b"twenty" * 10), vlan=2)
    assert [(each.vtep, each.vni, each.vlan) for each in fabric.handed] == [
        (2, 10, 1),
        (3, 10, 1),
        (3, 20, 2),
    ]
    assert len(fabric.wire) == 2, "one packet for each frame, however many VNIs share the group"


def test_the_same_mac_may_be_in_two_vnis() -> None:
    fabric = Fabric(3).carry(10, "239.1.1.10", 1).carry(20, "239.1.1.20", 2)
    fabric.exchange(2, plain(source=A), vlan=1)
    fabric.exchange(3, plain(source=A), vlan=2)
    assert fabric.remote(1, A, 10) == HV2
    assert fabric.remote(1, A, 20) == HV3
    fabric.exchange(1, plain(B, A), vlan=1)
    fabric.exchange(1, plain(B, A), vlan=2)
    assert [packet.destination for packet in fabric.wire[2:]] == [HV2, HV3]


def test_a_removed_vni_is_gone_with_its_rows() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, plain())
    fabric.drop_vni(2)
    assert fabric.members[GROUP] == {1}
    assert len(fabric.cores[2]._wheel) == 0
    fabric.carry(on=[2])
    assert fabric.row(2, A) is None
    fabric.advance(1000)
    assert "aged idle" not in fabric.decisions(2), "a row of the VNI's former life"


# -- forwarding


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ("ff:ff:ff:ff:ff:ff", "broadcast"),
        ("01:00:5e:00:00:fb", "multicast"),
        ("33:33:00:00:00:01", "multicast"),
        (STRANGER, "unknown_unicast"),
    ],
)
def test_a_frame_without_a_row_is_flooded_in_exactly_one_packet(destination: str, why: str) -> None:
    fabric = Fabric(3).carry()
    fabric.exchange(1, plain(A, destination))
    assert [packet.destination for packet in fabric.wire] == [GROUP]
    assert [each.vtep for each in fabric.handed] == [2, 3]
    assert fabric.decisions(1)[-1] == f"flooded {why}"


def test_a_frame_arrives_as_it_was_sent() -> None:
    fabric = Fabric(2).carry()
    for length in (14, 60, 61, 1514, 9014):
        frame = plain(payload=bytes(number % 256 for number in range(length - 14)))
        fabric.exchange(1, frame)
        assert fabric.handed[-1].frame == frame


def test_a_received_frame_with_unknown_destination_is_delivered_and_not_forwarded() -> None:
    fabric = Fabric(3).carry()
    fabric.exchange(2, plain(B))
    fabric.exchange(1, plain(A, STRANGER))
    assert {each.vtep for each in fabric.handed[2:]} == {2, 3}
    assert len(fabric.wire) == 2


def test_a_frame_from_a_tunnel_is_never_sent_into_a_tunnel() -> None:
    """Even if the receiver has a row that points to a third VTEP."""
    fabric = Fabric(3).carry()
    fabric.exchange(3, plain(C))
    stray = b"\x08\0\0\0\0\0\x0a\0" + plain(A, C)
    fabric.inject(2, HV1, stray)
    assert fabric.handed[-1] == Handed(2, VNI, 1, plain(A, C))
    fabric.deliver()
    assert len(fabric.wire) == 1


def test_counters_have_directions_kinds_and_inner_bytes() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, frames.arp_request())
    fabric.exchange(2, frames.arp_reply())
    fabric.exchange(1, frames.echo())
    assert shown(fabric, 1) == {
        "encapsulated flood": (1, 42),
        "encapsulated unicast": (1, 98),
        "decapsulated unicast": (1, 42),
    }
    assert shown(fabric, 2) == {
        "decapsulated flood": (1, 42),
        "encapsulated unicast": (1, 42),
        "decapsulated unicast": (1, 98),
    }


def test_options_take_effect_on_the_wire() -> None:
    fabric = Fabric(2, port=8472, ttl=7, udp_checksum=True, source_ports=(100, 100)).carry()
    fabric.exchange(1, frames.echo())
    packet = fabric.wire[0].packet
    assert packet[8] == 7
    assert packet[20:24] == (100).to_bytes(2, "big") + (8472).to_bytes(2, "big")
    assert packet[26:28] != b"\0\0"


def test_no_options_give_the_defaults_of_the_rfc() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, frames.echo())
    packet = fabric.wire[0].packet
    assert (packet[8], packet[22:24], packet[26:28]) == (64, b"\x12\xb5", b"\0\0")
    assert fabric.wire[0].sport >= 49152


def test_consecutive_packets_of_two_remotes_use_the_right_rows() -> None:
    fabric = Fabric(3).carry(10, "239.1.1.10", 1).carry(20, "239.1.1.20", 2)
    fabric.exchange(2, plain(B), vlan=1)
    fabric.exchange(3, plain(C), vlan=1)
    fabric.exchange(3, plain(B), vlan=2)
    fabric.exchange(2, plain(C), vlan=2)
    for _ in range(3):
        for vlan, to, remote, vni in ((1, B, HV2, 10), (2, B, HV3, 20), (1, C, HV3, 10),
                                      (2, C, HV2, 20)):  # fmt: skip
            fabric.exchange(1, plain(A, to), vlan=vlan)
            assert (fabric.wire[-1].destination, fabric.wire[-1].vni) == (remote, vni)


# -- inner tags


def test_tags_are_stripped_before_encapsulation() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, tagged(frames.echo(), 5, 6))
    assert fabric.wire[0].frame == frames.echo()
    assert shown(fabric, 1) == {"encapsulated flood": (1, len(frames.echo()))}


def test_tags_are_carried_if_the_segment_is_configured_so() -> None:
    fabric = Fabric(2).carry(carry_tags=True)
    fabric.exchange(1, tagged(frames.echo(), 5, 6))
    assert fabric.handed == [Handed(2, VNI, 1, tagged(frames.echo(), 5, 6))]


@pytest.mark.parametrize(
    ("carry_tags", "expected"), [(True, tagged(frames.echo(), 7)), (False, frames.echo())]
)
def test_a_tag_at_an_access_port_is_the_vms_own(carry_tags: bool, expected: bytes) -> None:
    """The port driver passes the tag beside the frame; on an access port it is the VM's own."""
    fabric = Fabric(2).carry(vlan=None, carry_tags=carry_tags)
    fabric.exchange(1, frames.echo(), vlan=7)
    assert fabric.wire[0].frame == expected
    assert fabric.handed == [Handed(2, VNI, None, expected)]


def test_the_vlan_of_a_trunk_is_never_carried() -> None:
    fabric = Fabric(2).carry(vlan=7, on=[1], carry_tags=True)
    fabric.carry(vlan=9, on=[2], carry_tags=True)
    fabric.exchange(1, frames.echo(), vlan=7)
    assert fabric.handed == [Handed(2, VNI, 9, frames.echo())]


# -- what an edge reports


def test_lost_packets_are_counted_for_their_vni_or_as_unassigned() -> None:
    fabric = Fabric(1).carry()
    core = fabric.cores[1]
    core.lost(VNI, DropReason.UNDERLAY_BUSY, 0.0)
    core.lost(None, DropReason.PORT_OVERRUN, 0.0, 7)
    core.lost(99, DropReason.PORT_DOWN, 0.0)
    assert fabric.drops(1) == {
        (VNI, DropReason.UNDERLAY_BUSY): 1,
        (None, DropReason.PORT_OVERRUN): 7,
        (None, DropReason.PORT_DOWN): 1,
    }
    assert core.segments.by_vni[VNI].counters.encapsulated == [0, 0, 0, 0]
