"""Links between switches: probes are read back, ways lead over the tree, silence ends a link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.links import LIFETIME_S, Links, build_probe, parse_probe


@given(st.integers(0, 2**64 - 1), st.integers(1, 0xFFFFFF00))
def test_probe_is_read_back(dpid: int, port: int) -> None:
    assert parse_probe(build_probe(dpid, port)) == (dpid, port)


@given(st.binary(max_size=80))
def test_any_other_frame_is_no_probe(data: bytes) -> None:
    assert parse_probe(data) is None
    assert parse_probe(bytes(12) + b"\x88\xcc" + data) is None


def line_of_three() -> Links:
    links = Links()
    links.heard((1, 9), (2, 1), 0.0)
    links.heard((2, 9), (3, 1), 0.0)
    return links


def test_one_probe_makes_the_link_known_at_both_ends() -> None:
    links = Links()
    assert links.heard((1, 9), (2, 1), 0.0) == {(1, 9), (2, 1)}
    assert links.peer((1, 9)) == (2, 1) and links.peer((2, 1)) == (1, 9)
    assert links.heard((2, 1), (1, 9), 1.0) == set()


def test_ways_lead_over_the_switch_between() -> None:
    links = line_of_three()
    assert links.ways(1) == {2: 9, 3: 9}
    assert links.ways(2) == {1: 1, 3: 9}
    assert not links.has_loop()


def test_a_ring_and_a_double_link_are_loops() -> None:
    ring = line_of_three()
    ring.heard((3, 8), (1, 8), 0.0)
    assert ring.has_loop()
    double = line_of_three()
    double.heard((1, 8), (2, 8), 0.0)
    assert double.has_loop()


def test_a_removed_port_ends_its_link_and_the_ways_over_it() -> None:
    links = line_of_three()
    assert links.remove((2, 9)) == {(2, 9), (3, 1)}
    assert links.ways(1) == {2: 9}


def test_a_port_joined_to_another_switch_forgets_the_old_one() -> None:
    links = line_of_three()
    assert links.heard((4, 1), (2, 9), 1.0) == {(4, 1), (2, 9), (3, 1)}
    assert links.ways(1) == {2: 9, 4: 9}


def test_silence_ends_a_link_only_while_both_switches_are_connected() -> None:
    links = line_of_three()
    assert links.expire({1, 2}, LIFETIME_S) == {(1, 9), (2, 1)}
    assert links.peer((2, 9)) == (3, 1)
    links.revive(3, LIFETIME_S)
    assert links.expire({1, 2, 3}, LIFETIME_S + 1) == set()
