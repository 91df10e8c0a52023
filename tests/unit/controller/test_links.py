"""Links between switches: probes, next hops over the tree, and the end of a link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.links import LIFETIME_S, Links, build_probe, parse_probe


@given(st.integers(0, 2**64 - 1), st.integers(1, 0xFFFFFF00))
def test_a_probe_is_parsed_as_it_was_built(dpid: int, port: int) -> None:
    assert parse_probe(build_probe(dpid, port)) == (dpid, port)


@given(st.binary(max_size=80))
def test_any_other_frame_is_not_a_probe(data: bytes) -> None:
    assert parse_probe(data) is None
    assert parse_probe(bytes(12) + b"\x88\xcc" + data) is None


def line_of_three() -> Links:
    links = Links()
    links.on_probe((1, 9), (2, 1), 0.0)
    links.on_probe((2, 9), (3, 1), 0.0)
    return links


def test_one_probe_shows_the_link_at_both_of_its_ports() -> None:
    links = Links()
    assert links.on_probe((1, 9), (2, 1), 0.0) == {(1, 9), (2, 1)}
    assert links.peer((1, 9)) == (2, 1) and links.peer((2, 1)) == (1, 9)
    assert links.on_probe((2, 1), (1, 9), 1.0) == set()


def test_next_hops_lead_over_the_switch_between() -> None:
    links = line_of_three()
    assert links.next_hops(1) == {2: 9, 3: 9}
    assert links.next_hops(2) == {1: 1, 3: 9}
    assert not links.has_loop()


def test_a_ring_and_a_double_link_are_loops() -> None:
    ring = line_of_three()
    ring.on_probe((3, 8), (1, 8), 0.0)
    assert ring.has_loop()
    double = line_of_three()
    double.on_probe((1, 8), (2, 8), 0.0)
    assert double.has_loop()


def test_a_removed_port_ends_its_link_and_the_paths_over_it() -> None:
    links = line_of_three()
    assert links.remove((2, 9)) == {(2, 9), (3, 1)}
    assert links.next_hops(1) == {2: 9}


def test_a_port_linked_to_another_switch_loses_its_old_link() -> None:
    links = line_of_three()
    assert links.on_probe((4, 1), (2, 9), 1.0) == {(4, 1), (2, 9), (3, 1)}
    assert links.next_hops(1) == {2: 9, 4: 9}


def test_missing_probes_end_a_link_only_while_both_switches_are_connected() -> None:
    links = line_of_three()
    assert links.expire({1, 2}, LIFETIME_S) == {(1, 9), (2, 1)}
    assert links.peer((2, 9)) == (3, 1)
    links.refresh(3, LIFETIME_S)
    assert links.expire({1, 2, 3}, LIFETIME_S + 1) == set()
