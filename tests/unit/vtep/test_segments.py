"""Segments by VNI and by VLAN, and the groups they share."""

from __future__ import annotations

import pytest

from vtep.effects import PortId
from vtep.fdb import Fdb, Wheel
from vtep.segments import Segment, Segments, SegmentSpec, SegmentTaken

G1, G2 = "239.1.1.1", "239.1.1.2"
TRUNK, ACCESS = PortId(0), PortId(1)


def segment(vni: int, vlan: int | None, port: PortId = TRUNK, group: str = G1) -> Segment:
    return Segment(SegmentSpec(vni, port, vlan, group), Fdb(vni, Wheel(300.0), 10))


def segments(*each: Segment) -> Segments:
    all_of_them = Segments()
    for one in each:
        all_of_them.add(one)
    return all_of_them


def vni_of(where: Segments, port: PortId, vlan: int | None) -> int | None:
    found = where.of_frame(port, vlan)
    return None if found is None else found.vni


def test_a_segment_is_found_by_port_and_vlan() -> None:
    where = segments(segment(10, 1), segment(20, 2), segment(30, 1, PortId(2)))
    assert vni_of(where, TRUNK, 1) == 10
    assert vni_of(where, TRUNK, 2) == 20
    assert vni_of(where, PortId(2), 1) == 30


@pytest.mark.parametrize(("port", "vlan"), [(TRUNK, 3), (TRUNK, None), (ACCESS, 1)])
def test_an_unknown_vlan_has_no_segment(port: PortId, vlan: int | None) -> None:
    assert vni_of(segments(segment(10, 1)), port, vlan) is None


def test_untagged_frames_of_a_trunk_have_their_own_segment() -> None:
    where = segments(segment(10, 1), segment(20, None))
    assert vni_of(where, TRUNK, None) == 20
    assert vni_of(where, TRUNK, 1) == 10
    assert vni_of(where, TRUNK, 2) is None, "a VLAN that nobody carries is not the untagged one"


def test_on_an_access_port_a_tag_is_the_vms_own() -> None:
    where = segments(segment(10, None, ACCESS), segment(20, 1, TRUNK))
    assert vni_of(where, ACCESS, None) == vni_of(where, ACCESS, 7) == 10


def test_a_port_is_an_access_port_again_after_its_last_vlan_is_removed() -> None:
    where = segments(segment(10, None), segment(20, 1))
    assert vni_of(where, TRUNK, 7) is None
    where.remove(20)
    assert vni_of(where, TRUNK, 7) == 10


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (segment(10, 2), "vni 10: already exists"),
        (segment(20, 1), "vlan 1: already used by vni 10"),
    ],
)
def test_a_conflict_is_reported_and_changes_nothing(second: Segment, words: str) -> None:
    where = segments(segment(10, 1))
    with pytest.raises(SegmentTaken) as refused:
        where.add(second)
    assert str(refused.value) == words
    assert list(where.by_vni) == [10] and where.groups() == [G1]
    assert where.remove(10)[1], "the group has one member still"


def test_only_the_first_and_the_last_segment_of_a_group_are_reported() -> None:
    where = Segments()
    assert where.add(segment(10, 1)) is True
    assert where.add(segment(20, 2)) is False
    assert where.add(segment(30, 3, group=G2)) is True
    assert where.groups() == [G1, G2]
    assert where.remove(10)[1] is False
    assert where.remove(20)[1] is True
    assert where.groups() == [G2]
    assert where.add(segment(10, 1)) is True


def test_removing_an_unknown_vni_is_an_error() -> None:
    with pytest.raises(KeyError):
        Segments().remove(10)


def test_a_removed_segments_vlan_is_free_again() -> None:
    where = segments(segment(10, 1))
    where.remove(10)
    assert vni_of(where, TRUNK, 1) is None
    where.add(segment(11, 1))
    assert vni_of(where, TRUNK, 1) == 11
