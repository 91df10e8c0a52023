"""What the core learns from received frames, and when rows expire (RFC 7348 section 4.1)."""

from __future__ import annotations

import pytest

from tests.support import frames
from tests.support.fabric import VNI, Fabric
from tests.support.frames import A, B, C, mac, plain
from vtep.drops import DropReason

HV1, HV2, HV3 = "192.0.2.11", "192.0.2.12", "192.0.2.13"


def known(fabric: Fabric, vtep: int) -> set[bytes]:
    return set(fabric.cores[vtep].segments.by_vni[VNI].fdb.rows)


# -- moves


def test_a_vm_that_moves_from_remote_to_remote() -> None:
    fabric = Fabric(3).carry()
    fabric.exchange(2, plain(B))
    fabric.exchange(3, plain(B))
    assert fabric.remote(1, B) == HV3
    assert fabric.decisions(1)[3:] == ["moved remote_to_remote", "delivered flood"]
    fabric.exchange(1, plain(A, B))
    assert fabric.wire[-1].destination == HV3


def test_a_vm_that_moves_from_a_remote_to_this_vtep() -> None:
    fabric = Fabric(3).carry()
    fabric.exchange(2, plain(B))
    fabric.exchange(1, plain(B))
    assert fabric.remote(1, B) is None
    assert fabric.decisions(1)[3:] == ["moved remote_to_local", "flooded broadcast"]
    fabric.exchange(3, plain(C, B))
    assert fabric.wire[-1].destination == HV1


def test_a_vm_that_moves_from_this_vtep_to_a_remote() -> None:
    fabric = Fabric(3).carry()
    fabric.exchange(1, plain(A))
    fabric.exchange(3, plain(A))
    assert fabric.remote(1, A) == HV3
    assert fabric.decisions(1)[3:] == ["moved local_to_remote", "delivered flood"]
    fabric.exchange(1, plain(B, A))
    assert fabric.wire[-1].destination == HV3


def test_the_event_of_a_move_names_the_new_place() -> None:
    fabric = Fabric(3).carry()
    fabric.exchange(2, plain(B))
    fabric.exchange(3, plain(B))
    moved = next(event for vtep, event in fabric.events if vtep == 1 and event.decision == "moved")
    assert (moved.vni, moved.mac, moved.remote) == (VNI, mac(B), HV3)


# -- what is not learned


@pytest.mark.parametrize(
    "source", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00", "33:33:00:00:00:01"]
)
def test_a_frame_with_an_invalid_source_is_forwarded_and_never_learned(source: str) -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, plain(source))
    assert len(fabric.handed) == 1
    assert known(fabric, 1) == known(fabric, 2) == set()


def test_a_looped_back_flood_is_dropped_and_moves_no_row() -> None:
    fabric = Fabric(2, echo=True).carry()
    fabric.exchange(1, plain(A))
    assert [each.vtep for each in fabric.handed] == [2]
    assert fabric.drops(1) == {(VNI, DropReason.OWN_ADDRESS): 1}
    assert fabric.remote(1, A) is None


def test_nothing_is_learned_from_dropped_packets() -> None:
    fabric = Fabric(2, strict=True).carry()
    vxlan = b"\x08\0\0\0\0\0\x0a"
    for sender, header, frame in (
        (HV1, vxlan + b"\0", plain(A)),  # its own address
        (HV2, vxlan + b"\1", plain(A)),  # a reserved bit
        (HV2, b"\0" + vxlan[1:] + b"\0", plain(A)),  # no I flag
        (HV2, vxlan + b"\0", frames.tagged(plain(A), 5)),
    ):
        fabric.inject(1, sender, header + frame)
    assert known(fabric, 1) == set() and fabric.handed == []
    assert sum(fabric.drops(1).values()) == 4


def test_above_the_limit_frames_are_forwarded_not_learned_and_counted() -> None:
    fabric = Fabric(2, limit=2).carry()
    for number in range(5):
        fabric.exchange(1, plain(f"02:00:00:00:01:0{number}"))
    assert len(fabric.handed) == 5
    for vtep in (1, 2):
        assert len(known(fabric, vtep)) == 2
        assert fabric.cores[vtep].segments.by_vni[VNI].counters.not_learned == 3
        assert fabric.drops(vtep) == {}


def test_each_vni_has_its_own_limit() -> None:
    fabric = Fabric(2, limit=1).carry(10, "239.1.1.10", 1).carry(20, "239.1.1.20", 2)
    fabric.exchange(1, plain(A), vlan=1)
    fabric.exchange(1, plain(B), vlan=2)
    assert fabric.remote(2, A, 10) == fabric.remote(2, B, 20) == HV1


# -- static rows


def test_a_static_row_overrides_frames_from_remotes_and_from_the_port() -> None:
    fabric = Fabric(3).carry()
    fabric.cores[1].set_static(VNI, mac(C), HV3, fabric.now)
    fabric.exchange(2, plain(C))
    fabric.send(1, plain(C))
    assert fabric.drops(1) == {(VNI, DropReason.STATIC_CONFLICT): 2}
    assert fabric.decisions(1)[1:] == ["dropped static_conflict"] * 2
    assert fabric.remote(1, C) == HV3
    fabric.exchange(1, plain(A, C))
    assert (fabric.wire[-1].destination, fabric.decisions(1)[-1]) == (HV3, "sent static")


def test_frames_that_agree_with_a_static_row_are_accepted() -> None:
    fabric = Fabric(3).carry()
    fabric.cores[1].set_static(VNI, mac(C), HV3, fabric.now)
    fabric.exchange(3, plain(C))
    assert fabric.decisions(1)[1:] == ["delivered flood"]
    fabric.advance(10_000)
    assert fabric.remote(1, C) == HV3


def test_a_static_row_of_an_unknown_vni_is_an_error() -> None:
    with pytest.raises(KeyError):
        Fabric(1).carry().cores[1].set_static(99, mac(C), HV3, 0.0)


# -- ageing, over the wire


def test_rows_age_300_seconds_after_the_last_frame_received() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, plain(A))
    fabric.advance(299)
    assert fabric.remote(1, A) is None and fabric.remote(2, A) == HV1
    fabric.advance(2)
    assert fabric.row(1, A) is None and fabric.row(2, A) is None
    assert fabric.decisions(2)[-1] == "aged idle"


def test_sending_to_a_vm_does_not_refresh_its_row() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(2, plain(B))
    for _ in range(30):
        fabric.advance(10)
        fabric.exchange(1, plain(A, B))
    assert fabric.row(1, B) is None
    assert fabric.decisions(1)[-1] == "flooded unknown_unicast"


def test_receiving_from_a_vm_refreshes_its_row() -> None:
    fabric = Fabric(2).carry()
    for _ in range(30):
        fabric.exchange(2, plain(B))
        fabric.advance(290)
    assert fabric.remote(1, B) == HV2
    assert "aged idle" not in fabric.decisions(1)


@pytest.mark.parametrize("born", [0.0, 0.3, 0.999])
def test_a_lifetime_of_10_seconds_ends_within_11(born: float) -> None:
    fabric = Fabric(2, ageing_s=10.0).carry()
    fabric.advance(born)
    fabric.exchange(1, plain(A))
    fabric.advance(9.99)
    assert fabric.row(2, A) is not None
    fabric.advance(1.01)
    assert fabric.row(2, A) is None


def test_a_core_without_rows_has_no_deadline() -> None:
    fabric = Fabric(1).carry()
    core = fabric.cores[1]
    assert core.next_deadline() is None
    fabric.exchange(1, plain(A))
    assert core.next_deadline() == fabric.now + 300
    fabric.advance(301)
    assert core.next_deadline() is None


# -- flushing


def test_flush_by_vni_and_mac() -> None:
    fabric = Fabric(2).carry(10, "239.1.1.10", 1).carry(20, "239.1.1.20", 2)
    for vlan in (1, 2):
        for source in (A, B):
            fabric.exchange(1, plain(source), vlan=vlan)
    core = fabric.cores[2]

    def flushed(vni: int | None, station: bytes | None) -> int:
        removed, events = core.flush(vni, station, fabric.now)
        fabric.reporters[2].report(events)
        return removed

    assert flushed(10, mac(A)) == 1
    assert flushed(None, mac(A)) == 1
    assert flushed(20, None) == 1
    assert flushed(None, None) == 1
    assert flushed(None, None) == 0
    assert fabric.decisions(2)[-4:] == ["flushed operator"] * 4
    with pytest.raises(KeyError):
        core.flush(99, None, fabric.now)
