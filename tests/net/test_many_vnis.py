"""Five thousand VNIs on three VTEPs: the ends of the 24-bit range carry traffic."""

from __future__ import annotations

import pytest

from vxlab.testing import RunningLab

pytestmark = pytest.mark.vxlab("many_vnis")

INHABITED = {"L": 1, "M": 4096, "H": 16777215}


@pytest.mark.parametrize("vni", INHABITED.values())
def test_traffic_passes_in_all_inhabited_vnis(lab: RunningLab, vni: int) -> None:
    lab.all_of_segment_reach_each_other(vni)


def test_every_vtep_has_joined_for_all_of_them(lab: RunningLab) -> None:
    rows = lab.listing("groups")
    assert len(rows) == 5000
    assert len({row["group"] for row in rows}) == 50
    for row in rows:
        assert row["joined"] == ["hv1", "hv2", "hv3"]
        assert row["snooped"] == {"s1": ["hv1", "hv2", "hv3"]}


def test_segments_that_share_a_group_are_isolated(lab: RunningLab) -> None:
    sharing = {row["vni"] for row in lab.listing("groups") if row["group"] == "239.1.3.1"}
    assert 1 in sharing
    assert len(sharing) == 100
    lab.run("L1", "ip", "neigh", "flush", "all")
    lab.ping("L1", "10.0.0.2")
    touched = [row for row in lab.listing("fdb", "hv3") if row["vni"] in sharing - {1}]
    assert touched == []
