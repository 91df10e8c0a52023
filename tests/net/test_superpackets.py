"""Packets sent with UDP GSO equal packets sent one by one, on the wire and at the receiver."""

from __future__ import annotations

import re

import pytest

from tests.net.superpackets import compare
from vtep.underlay.gso_sender import kernel_supports_gso

pytestmark = pytest.mark.skipif(
    not kernel_supports_gso(), reason="this kernel does not support UDP GSO"
)

FRAMES = 3_000


@pytest.mark.parametrize("version", [4, 6])
def test_packets_segmented_by_the_kernel_are_identical(version: int) -> None:
    said = compare(version, seed=version, frames=FRAMES, cut=True)
    assert re.match(r"equal: (\d+) packets in \1$", said), said


@pytest.mark.parametrize("version", [4, 6])
def test_super_packets_that_reach_the_receiver_are_split_there(version: int) -> None:
    said = compare(version, seed=version, frames=FRAMES, cut=False)
    found = re.match(r"equal: (\d+) packets in (\d+)$", said)
    assert found, said
    assert int(found[2]) < int(found[1]) / 2  # enough of them were sent as super-packets
