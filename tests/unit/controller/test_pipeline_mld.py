"""Where IPv6 group data comes out, on one switch and on a tree; both protocols side by side."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6MLDone, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether

from controller import views
from controller.flows import DeleteFlow, SetFlow
from controller.membership import Malformed, Query, RecordType
from controller.mld import ALL_NODES, PROXY_SOURCE, parse
from controller.pipeline import Port
from tests.support import mld
from tests.support.flowtable import BROADCAST, End, Fabric, datagram, ethernet, mac
from tests.unit.controller.test_pipeline import join as igmp_join
from tests.unit.controller.test_pipeline import make_tree
from tests.unit.controller.test_pipeline import router_query as igmp_router_query

GROUP = "ff05::ef01:10a"
SAME_MAC = "ff0e::ef01:10a"
IPV4_GROUP = "239.1.1.10"
ALL_OTHERS = {(1, 2), (1, 3), (1, 4)}


def join(fabric: Fabric, end: End, number: int, group: str = GROUP) -> set[End]:
    records = (RecordType.CHANGE_TO_EXCLUDE, group, 0)
    return fabric.send(end, mld.report(mld.address(number), records, mac=mac(number)))


def leave(fabric: Fabric, end: End, number: int) -> None:
    records = (RecordType.CHANGE_TO_INCLUDE, GROUP, 0)
    fabric.send(end, mld.report(mld.address(number), records, mac=mac(number)))


def group_data(fabric: Fabric, end: End, group: str = GROUP) -> set[End]:
    return fabric.send(end, datagram(group, mac(end[0] * 16 + end[1])))


def queries(fabric: Fabric) -> list[tuple[End, Query]]:
    """The MLD queries of the controller, by port."""
    heard = [(end, parse(frame)) for end, frame in fabric.sent if frame[12:14] == b"\x86\xdd"]
    return [(end, message) for end, message in heard if isinstance(message, Query)]


@pytest.fixture
def one() -> Fabric:
    fabric = Fabric()
    fabric.add(1, 4)
    return fabric


@pytest.fixture
def tree() -> Fabric:
    return make_tree()


def test_a_group_goes_to_its_members_only(one: Fabric) -> None:
    assert group_data(one, (1, 1)) == set()
    join(one, (1, 2), 12)
    join(one, (1, 3), 13)
    assert group_data(one, (1, 1)) == {(1, 2), (1, 3)}
    assert group_data(one, (1, 2)) == {(1, 3)}


def test_groups_that_share_a_mac_address_are_told_apart(one: Fabric) -> None:
    join(one, (1, 2), 12)
    assert datagram(SAME_MAC, mac(1))[:6] == datagram(GROUP, mac(1))[:6]
    assert group_data(one, (1, 1), SAME_MAC) == set()


@pytest.mark.parametrize("group", ["ff02::1", "ff02::1:ff00:1", "ff02::2", "ff02::fb"])
def test_link_local_groups_flood_whoever_reported_them(one: Fabric, group: str) -> None:
    assert group_data(one, (1, 1), group) == ALL_OTHERS
    join(one, (1, 2), 12, group)
    assert group_data(one, (1, 1), group) == ALL_OTHERS


def test_neighbour_discovery_needs_no_report(one: Fabric) -> None:
    to = IPv6(src="2001:db8::1", dst="ff02::1:ff00:2") / ICMPv6ND_NS(tgt="2001:db8::2")
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="33:33:ff:00:00:02") / to)
    assert one.send((1, 1), frame) == ALL_OTHERS
    answer = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IPv6(dst="2001:db8::1")
    assert one.send((1, 2), bytes(answer)) == {(1, 1)}


def test_groups_that_are_on_no_link_go_nowhere(one: Fabric) -> None:
    one.send((1, 4), mld.query(mac=mac(99)))
    assert group_data(one, (1, 1), "ff01::5") == set()
    assert group_data(one, (1, 1), "ff05::5") == {(1, 4)}


def test_a_leave_is_followed_by_questions_and_the_end(one: Fabric) -> None:
    one.advance(2)
    join(one, (1, 2), 12)
    one.forget()
    leave(one, (1, 2), 12)
    one.advance(1.9)
    expected = Query(PROXY_SOURCE, 2, GROUP, 1.0)
    assert queries(one) == [((1, 2), expected), ((1, 2), expected)]
    assert group_data(one, (1, 1)) == {(1, 2)}
    one.advance(0.1)
    assert group_data(one, (1, 1)) == set()


def test_version_1_is_snooped_too(one: Fabric) -> None:
    one.send((1, 2), mld.old_report(mld.address(12), GROUP, mac(12)))
    assert group_data(one, (1, 1)) == {(1, 2)}
    one.send((1, 2), mld.done(mld.address(12), GROUP, mac(12)))
    one.advance(2)
    assert group_data(one, (1, 1)) == set()


def test_reports_are_shown_to_router_ports_only(one: Fabric) -> None:
    assert join(one, (1, 2), 12) == set()
    one.send((1, 4), mld.query(mac=mac(99)))
    one.forget()
    join(one, (1, 3), 13)
    one.send((1, 3), mld.old_report(mld.address(13), GROUP, mac(13)))
    one.send((1, 3), mld.done(mld.address(13), GROUP, mac(13)))
    shown = [end for end, frame in one.sent if frame[6:12] == mac(13)]
    assert shown == [(1, 4)] * 3


def test_a_routers_query_reaches_every_other_edge_port(tree: Fabric) -> None:
    tree.send((2, 1), mld.query(mac=mac(99)))
    heard = [end for end, frame in tree.sent if frame[6:12] == mac(99)]
    others = {(dpid, port) for dpid in (1, 2, 3) for port in (1, 2, 3)} - {(2, 1)}
    assert sorted(heard) == sorted(others)


@pytest.mark.parametrize(
    ("frame", "targets"),
    [
        (mld.query(), {(1, 4)}),
        (mld.query(version=1), {(1, 4)}),
        (mld.query(source="::"), set()),  # another switch's
        (mld.query(source="2001:db8::1"), set()),
        (mld.query(hlim=64), set()),
    ],
)
def test_a_link_local_query_makes_a_router_port(
    one: Fabric, frame: bytes, targets: set[End]
) -> None:
    one.send((1, 4), frame)
    assert group_data(one, (1, 1)) == targets
    assert [row["router"] for row in views.ports(one.pipeline)][3] is bool(targets)


def test_routers_of_one_protocol_get_nothing_of_the_other(one: Fabric) -> None:
    one.send((1, 4), mld.query(mac=mac(99)))
    assert group_data(one, (1, 1), IPV4_GROUP) == set()
    igmp_router_query(one, (1, 3))
    assert group_data(one, (1, 1), IPV4_GROUP) == {(1, 3)}
    assert group_data(one, (1, 1)) == {(1, 4)}


def test_broken_mld_goes_nowhere_and_is_counted(one: Fabric) -> None:
    one.forget()
    frame = mld.done(mld.address(11), GROUP, mac(11))
    one.send((1, 1), frame[:80] + b"\xff" + frame[81:])
    bare = IPv6(src=mld.address(11), dst="ff02::2", hlim=1) / ICMPv6MLDone(mladdr=GROUP)
    assert one.send((1, 1), bytes(Ether(src="02:00:00:00:00:11") / bare)) == set()
    assert one.sent == [] and sum(one.pipeline.malformed.values()) == 2


def test_every_edge_port_is_asked_at_once_and_every_interval(tree: Fabric) -> None:
    tree.advance(2)
    tree.forget()
    tree.advance(125)
    edges = [(dpid, port) for dpid in (1, 2, 3) for port in (1, 2, 3)]
    assert sorted(end for end, _ in queries(tree)) == edges
    assert {query for _, query in queries(tree)} == {Query(PROXY_SOURCE, 2, None, 10.0)}


def test_a_port_that_comes_up_is_asked_at_once(one: Fabric) -> None:
    one.advance(5)
    one.forget()
    one.switches[1].ports[5] = Port("s1-eth5")
    one.apply(one.pipeline.port_changed(1, 5, Port("s1-eth5"), one.now))
    assert queries(one) == [((1, 5), Query(PROXY_SOURCE, 2, None, 0.5))]


def test_the_querier_is_silent_for_a_real_one(one: Fabric) -> None:
    one.advance(2)
    one.send((1, 4), mld.query(mac=mac(99)))
    one.forget()
    one.advance(130)
    assert queries(one) == []
    assert any(frame[:6] == bytes.fromhex("01005e000001") for _, frame in one.sent)  # IGMP goes on


def test_on_a_tree_group_data_takes_only_the_links_that_lead_to_members(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    assert group_data(tree, (1, 1)) == {(2, 1)}
    assert tree.switches[1].outputs(5, datagram(GROUP, mac(0x31))) - {0xFFFFFFFD} == {4}
    assert tree.switches[3].outputs(1, datagram(GROUP, mac(0x31))) - {0xFFFFFFFD} == {4}


def test_the_view_of_groups_names_ports_and_reporters_of_both_protocols(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    igmp_join(tree, (2, 2), 22)
    rows = [(row["group"], row["ports"]) for row in views.groups(tree.pipeline)]
    assert rows[2:4] == [
        (IPV4_GROUP, [{"port": 2, "name": "s2-eth2", "reporters": ["192.0.2.22"]}]),
        (GROUP, [{"port": 1, "name": "s2-eth1", "reporters": ["fe80::15"]}]),
    ]


def test_a_reporter_is_known_to_every_switch(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    assert tree.send((3, 1), ethernet(mac(21), mac(31))) == {(2, 1)}


def test_a_controller_that_returns_changes_no_flow_and_keeps_both_protocols(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    join(tree, (3, 3), 33)
    igmp_join(tree, (3, 3), 33)
    tree.send((1, 2), mld.query(mac=mac(99)))
    before = {dpid: dict(switch.flows) for dpid, switch in tree.switches.items()}
    tree.new_controller()
    tree.forget()
    for dpid in (3, 1, 2):
        tree.connect(dpid)
    assert {dpid: switch.flows for dpid, switch in tree.switches.items()} == before
    assert not [e for e in tree.effects if isinstance(e, (SetFlow, DeleteFlow))]
    assert group_data(tree, (1, 1)) == {(1, 2), (2, 1), (3, 3)}
    assert group_data(tree, (1, 1), IPV4_GROUP) == {(3, 3)}
    assert {(2, 1), (3, 3), (1, 1)} <= {end for end, _ in queries(tree)}


def test_what_nobody_confirms_ages(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    join(tree, (3, 3), 33)
    tree.advance(200)
    tree.new_controller()
    for dpid in (1, 2, 3):
        tree.connect(dpid)
    join(tree, (2, 1), 21)
    tree.advance(259)
    join(tree, (2, 1), 21)
    tree.advance(1)
    assert group_data(tree, (1, 1)) == {(2, 1)}


def test_a_switch_that_a_controller_without_mld_left_gets_what_it_lacks(one: Fabric) -> None:
    igmp_join(one, (1, 3), 13)
    flows = one.switches[1].flows
    for key in [key for key, flow in flows.items() if flow.match.eth_type == 0x86DD]:
        del flows[key]
    one.new_controller()
    one.connect(1)
    join(one, (1, 2), 12)
    assert group_data(one, (1, 1)) == {(1, 2)}
    assert group_data(one, (1, 1), IPV4_GROUP) == {(1, 3)}
    assert group_data(one, (1, 1), ALL_NODES) == ALL_OTHERS


SOUND = (
    mld.report(mld.address(12), (4, GROUP, 0), (1, SAME_MAC, 2), mac=mac(12)),
    mld.done(mld.address(12), GROUP, mac(12)),
    mld.query(GROUP, mac=mac(99), mrd=1000),
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(14, 120), st.integers(0, 255)), max_size=3),
    st.integers(0, 130),
)
def test_mutated_mld_is_ignored_unless_it_is_sound(
    frame: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    fabric = Fabric()
    fabric.add(1, 2)
    fabric.forget()
    mutated = bytearray(frame)
    for offset, value in changes:
        mutated[offset % len(frame)] = value
    cut = bytes(mutated[: length + 14])
    fabric.apply(fabric.pipeline.packet_in(1, 1, cut, fabric.now))
    if isinstance(parse(cut), Malformed):
        assert views.groups(fabric.pipeline) == [] and fabric.sent == []
        assert not any(row["router"] for row in views.ports(fabric.pipeline))


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "talk", "wait", "restart"]),
        st.sampled_from([1, 2, 3]),
        st.sampled_from([1, 2, 3]),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(HAPPENINGS)
def test_after_anything_each_protocols_data_reaches_exactly_its_members(
    happenings: list[tuple[str, int, int, bool]],
) -> None:
    fabric = make_tree()
    members: dict[str, set[End]] = {GROUP: set(), IPV4_GROUP: set()}
    for verb, dpid, port, six in happenings:
        end, number = (dpid, port), dpid * 16 + port
        if verb == "join":
            (join if six else igmp_join)(fabric, end, number)
            members[GROUP if six else IPV4_GROUP].add(end)
        elif verb == "leave":
            leave(fabric, end, number)
            fabric.advance(3)
            members[GROUP].discard(end)
        elif verb == "talk":
            fabric.send(end, ethernet(BROADCAST, mac(number)))
        elif verb == "wait":
            fabric.advance(10)
        else:
            fabric.new_controller()
            for switch in (port, *({1, 2, 3} - {port})):
                fabric.connect(switch)
        for group, ends in members.items():
            for sender in ((1, 1), (2, 2), (3, 3)):
                assert group_data(fabric, sender, group) == ends - {sender}
