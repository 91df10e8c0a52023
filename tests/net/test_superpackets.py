"""Packets that leave as one are, on the wire and to who receives them, those sent one by one."""

from __future__ import annotations

import re

import pytest

from tests.net.superpackets import compare
from vtep.underlay.gso_sender import kernel_supports_gso

pytestmark = pytest.mark.skipif(not kernel_supports_gso(), reason="this kernel cuts no UDP")

FRAMES = 3_000


@pytest.mark.parametrize("version", [4, 6])
def test_cut_by_the_kernel_they_are_the_same_byte_for_byte(version: int) -> None:
    said = compare(version, seed=version, frames=FRAMES, cut=True)
    assert re.match(r"equal: (\d+) packets in \1$", said), said


@pytest.mark.parametrize("version", [4, 6])
def test_cut_by_nobody_they_are_parted_where_they_are_received(version: int) -> None:
    said = compare(version, seed=version, frames=FRAMES, cut=False)
    found = re.match(r"equal: (\d+) packets in (\d+)$", said)
    assert found, said
    assert int(found[2]) < int(found[1]) / 2  # enough of them left as one to mean something
