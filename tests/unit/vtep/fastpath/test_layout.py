"""The layouts in layout.py are those of maps.h."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vtep.ethernet import FLOW_MULTIPLIER
from vtep.fastpath import layout

HERE = Path(layout.__file__).parent
MAPS = (HERE / "maps.h").read_text()


def number(name: str) -> int:
    found = re.search(rf"\b{name}\b(?: =)? (0x[0-9a-f]+|\d+)", MAPS)
    assert found, name
    return int(found[1], 0)


def asserted(what: str) -> int:
    """The number in a static assertion of maps.h."""
    found = re.search(rf"_Static_assert\({re.escape(what)} == (\d+)", MAPS)
    assert found, what
    return int(found[1])


def test_sizes_and_offsets_equal_those_of_the_static_assertions() -> None:
    assert asserted("sizeof(struct bucket)") == layout.BUCKET_LENGTH
    assert asserted("sizeof(struct remote)") == layout.REMOTE.size
    assert asserted("sizeof(struct segment)") == layout.SEGMENT_LENGTH
    assert asserted("offsetof(struct segment, encapsulated)") == layout.SEGMENT_COUNTERS_AT
    assert asserted("sizeof(struct port)") == layout.PORT.size
    assert asserted("offsetof(struct config, paused)") == layout.PAUSED_AT
    assert asserted("offsetof(struct config, ports)") + 4 == layout.CONFIG.size


def test_constants_are_the_same() -> None:
    assert number("SLOTS") == layout.SLOTS
    assert 1 << number("TICK_SHIFT") == layout.TICK_NS
    assert (number("INHERIT"), number("OF_VNI")) == (layout.INHERIT, layout.OF_VNI)
    assert (number("PERMANENT"), number("ON_LINK")) == (layout.PERMANENT, layout.ON_LINK)
    assert (number("SUPPRESS"), number("PEER")) == (layout.SUPPRESS, layout.PEER)


def test_the_multiplier_of_the_flow_hash_is_the_same() -> None:
    assert f"FLOW_MULTIPLIER {FLOW_MULTIPLIER:#x}ULL" in (HERE / "frame.h").read_text()


@pytest.mark.parametrize("now_s", [0.0, 12.5, 86_400.0, 72e6, 72.2e6])
@pytest.mark.parametrize("ago_s", [0.0, 1.0, 299.0, 100_000.0])
def test_ticks_are_converted_back_to_the_time(now_s: float, ago_s: float) -> None:
    """Also after the 32 bits have wrapped, which takes about two years."""
    then = max(0.0, now_s - ago_s)
    assert abs(layout.seconds(layout.ticks(then), now_s) - then) <= 2 * layout.TICK_NS / 1e9


def test_a_value_is_unpacked_into_what_was_packed() -> None:
    packed = layout.value(0xFFFFFFFF, 4095, layout.PERMANENT)
    assert packed < 1 << 64 and layout.value_parts(packed) == (0xFFFFFFFF, 4095, layout.PERMANENT)


def test_keys_of_two_segments_differ_and_none_is_zero() -> None:
    mac = bytes.fromhex("020000000001")
    assert len({layout.key(mac, 1), layout.key(mac, 2), 0}) == 3


def test_the_key_of_a_vni_differs_from_every_key_of_a_mac() -> None:
    last_segment = layout.OF_VNI - 1
    assert layout.key_of_vni(0) > layout.key(b"\xff" * 6, last_segment)


@pytest.mark.parametrize(
    ("interfaces", "slots"), [([7], 1), ([7, 8], 2), ([2, 4, 6], 8), ([1, 5, 9, 17], 32)]
)
def test_no_two_ports_share_a_slot(interfaces: list[int], slots: int) -> None:
    assert layout.slots_of_ports(interfaces) == slots


def test_ports_too_far_apart_are_an_error() -> None:
    with pytest.raises(OSError, match="too far apart"):
        layout.slots_of_ports([1, 1 + (1 << 20)])


def test_an_address_of_either_family_has_sixteen_bytes() -> None:
    assert layout.address("192.0.2.1") == bytes((192, 0, 2, 1)) + bytes(12)
    assert layout.address("2001:db8::1") == bytes.fromhex("20010db8") + bytes(11) + b"\x01"
