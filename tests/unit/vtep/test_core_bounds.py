"""Limits that hold regardless of the machine and of what remotes send."""

from __future__ import annotations

import pytest

from tests.support.frames import A, B, plain
from vtep.constants import LARGEST_PACKET
from vtep.core import Core
from vtep.effects import PortId, ToUnderlay
from vtep.options import Options
from vtep.segments import SegmentSpec
from vtep.wire import OUTER_LENGTH

GROUP, TRUNK = "239.1.1.10", PortId(0)


def core(mtu: int = 1600) -> Core:
    made = Core(Options(local="192.0.2.11", mtu=mtu))
    made.add_segment(SegmentSpec(10, TRUNK, 1, GROUP), 0.0)
    return made


@pytest.mark.parametrize(("mtu", "largest"), [(1600, 1600), (65_536, LARGEST_PACKET)])
def test_no_packet_exceeds_the_mtu_or_the_largest_ip_packet(mtu: int, largest: int) -> None:
    vtep = core(mtu)
    fits = plain(A, B, bytes(largest - OUTER_LENGTH - 14))
    (sent,), _ = vtep.frame_from_port(TRUNK, 1, fits, 0.0)
    assert isinstance(sent, ToUnderlay) and len(sent.packet) == largest
    assert not vtep.frame_from_port(TRUNK, 1, fits + b"x", 0.0)[0]


def test_the_header_cache_is_bounded_despite_forged_remotes() -> None:
    vtep = core()
    headers = vtep.segments.by_vni[10].headers
    headers.update({f"198.51.{number >> 8}.{number & 255}": b"" for number in range(4096)})
    (sent,), _ = vtep.frame_from_port(TRUNK, 1, plain(A, B), 0.0)
    assert isinstance(sent, ToUnderlay) and list(headers) == [sent.destination] == [GROUP]
