"""Every drop reason of the core is reached, and no other counter changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fabric import VNI, Fabric
from tests.support.frames import A, B, C, mac, plain, tagged, udp
from vtep import core as core_module
from vtep import wire as wire_module
from vtep.drops import DropReason

OWN, REMOTE, OTHER = "192.0.2.11", "192.0.2.12", "192.0.2.13"
HEADER = bytes.fromhex("0800000000000a00")
INNER = plain(B, A)


def from_port(frame: bytes, vlan: int | None = 1) -> Callable[[Fabric], Any]:
    return lambda fabric: fabric.send(1, frame, vlan)


def from_underlay(datagram: bytes, sender: str = REMOTE) -> Callable[[Fabric], Any]:
    return lambda fabric: fabric.inject(1, sender, datagram)


def marked_by_the_underlay(datagram: bytes) -> Callable[[Fabric], Any]:
    """Congestion Experienced in the outer header (RFC 3168)."""
    return lambda fabric: fabric.inject(1, REMOTE, datagram, traffic_class=3)


def sized(destination: str, length: int) -> bytes:
    return plain(A, destination, bytes(length - 14))


STATIC = "02:00:00:00:00:0d"  # static row: behind OTHER
LOCAL = "02:00:00:00:00:0e"  # learned from the port
LEARNED = "02:00:00:00:00:0f"  # learned from REMOTE
ANYONE = "ff:ff:ff:ff:ff:ff"

CASES = [
    (DropReason.RUNT_FRAME, None, from_port(b"")),
    (DropReason.RUNT_FRAME, None, from_port(INNER[:13])),
    (DropReason.RUNT_FRAME, VNI, from_port(tagged(INNER[:13], 5))),
    (DropReason.UNKNOWN_VLAN, None, from_port(INNER, vlan=2)),
    (DropReason.UNKNOWN_VLAN, None, from_port(INNER, vlan=None)),
    (DropReason.LOCAL_DESTINATION, VNI, from_port(plain(LOCAL, LOCAL))),
    (DropReason.LOCAL_DESTINATION, VNI, from_port(plain(C, LOCAL))),
    (DropReason.STATIC_CONFLICT, VNI, from_port(plain(STATIC))),
    (DropReason.STATIC_CONFLICT, VNI, from_underlay(HEADER + plain(STATIC))),
    (DropReason.TOO_BIG, VNI, from_port(sized(ANYONE, 1465))),
    (DropReason.TOO_BIG, VNI, from_port(sized(LEARNED, 1465))),
    (DropReason.TOO_BIG, VNI, from_port(sized(C, 9000))),
    (DropReason.SHORT_HEADER, None, from_underlay(b"")),
    (DropReason.SHORT_HEADER, None, from_underlay(HEADER[:7])),
    (DropReason.VNI_FLAG_CLEAR, None, from_underlay(b"\0" + HEADER[1:] + INNER)),
    (DropReason.RESERVED_BITS, None, from_underlay(HEADER[:7] + b"\1" + INNER)),
    (DropReason.OWN_ADDRESS, VNI, from_underlay(HEADER + INNER, OWN)),
    (DropReason.OWN_ADDRESS, None, from_underlay(HEADER[:4] + b"\0\0\x63\0" + INNER, OWN)),
    (DropReason.UNKNOWN_VNI, None, from_underlay(HEADER[:4] + b"\0\0\x63\0" + INNER)),
    (DropReason.UNKNOWN_VNI, None, from_underlay(HEADER[:4] + b"\xff\xff\xff\0" + INNER)),
    (DropReason.SHORT_INNER, VNI, from_underlay(HEADER)),
    (DropReason.SHORT_INNER, VNI, from_underlay(HEADER + INNER[:13])),
    (DropReason.INNER_TAG, VNI, from_underlay(HEADER + tagged(INNER, 5))),
    (DropReason.INNER_TAG, VNI, from_underlay(HEADER + tagged(INNER, 0))),
    (DropReason.UNTRUSTED_REMOTE, VNI, from_underlay(HEADER + INNER, "192.0.2.66")),
    (DropReason.ECN_NOT_ECT, VNI, marked_by_the_underlay(HEADER + udp())),
]


def prepared() -> Fabric:
    """One VTEP that is strict, has a small underlay, and a row of each kind."""
    trusted = frozenset({OWN, REMOTE, OTHER})
    fabric = Fabric(2, strict=True, mtu=1500, trusted=trusted).carry(on=[1])
    fabric.cores[1].set_static(VNI, mac(STATIC), OTHER, fabric.now)
    fabric.send(1, plain(LOCAL))
    fabric.inject(1, REMOTE, HEADER + plain(LEARNED))
    return fabric


def all_counters(fabric: Fabric) -> dict[str, int]:
    """Every counter of VTEP 1 by its path."""
    core = fabric.cores[1]
    flat: dict[str, int] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{path}/{key}", inner)
        else:
            flat[path] = value

    walk("None", core.unassigned_counters.as_json())
    for vni, segment in core.segments.by_vni.items():
        walk(str(vni), segment.counters.as_json())
    return flat


@pytest.mark.parametrize(("reason", "vni", "act"), CASES)
def test_a_drop_is_counted_under_its_reason_and_no_other_counter_changes(
    reason: DropReason, vni: int | None, act: Callable[[Fabric], Any]
) -> None:
    fabric = prepared()
    before, decided, wire, handed = (
        all_counters(fabric), len(fabric.decisions(1)), len(fabric.wire), len(fabric.handed),
    )  # fmt: skip
    act(fabric)
    after = all_counters(fabric)
    moved = {path: after[path] - before[path] for path in after if after[path] != before[path]}
    assert moved == {f"{vni}/drops/{reason.label}": 1}
    assert fabric.decisions(1)[decided:][-1] == f"dropped {reason.label}"
    assert len(fabric.fates(1)) == 3, "two frames of the preparation, and this"
    assert (len(fabric.wire), len(fabric.handed)) == (wire, handed)


def test_every_reason_the_core_knows_is_in_the_table() -> None:
    """core.py and wire.py name them; the drivers' reasons are passed to `lost`."""
    named: set[str] = set()
    for module in (core_module, wire_module):
        source = Path(str(module.__file__)).read_text()
        named |= set(re.findall(r"DropReason\.([A-Z_]+)", source))
    assert named == {reason.name for reason, _, _ in CASES}


def test_a_frame_that_just_fits_the_underlay_is_sent() -> None:
    fabric = prepared()
    for destination in (ANYONE, LEARNED):
        fabric.send(1, sized(destination, 1464))
        assert len(fabric.wire[-1].packet) == 1500
    assert fabric.drops(1) == {}


def test_a_drop_for_an_unknown_vni_names_it() -> None:
    fabric = prepared()
    fabric.inject(1, REMOTE, HEADER[:4] + b"\0\0\x63\0" + INNER)
    event = fabric.events[-1][1]
    assert (event.vni, event.remote, event.sport, event.frame) == (99, REMOTE, 50_000, INNER)


def test_a_drop_for_an_unknown_vlan_names_it() -> None:
    fabric = prepared()
    fabric.send(1, INNER, vlan=77)
    event = fabric.events[-1][1]
    assert (event.vni, event.vlan, event.frame) == (None, 77, INNER)


@pytest.mark.parametrize("bit", range(8))
def test_without_strict_a_reserved_bit_changes_nothing(bit: int) -> None:
    fabric = Fabric(1).carry()
    fabric.inject(1, REMOTE, bytes((8 | 1 << bit,)) + HEADER[1:7] + b"\xff" + INNER)
    assert [each.frame for each in fabric.handed] == [INNER]
    assert fabric.drops(1) == {}
