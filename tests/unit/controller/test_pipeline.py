"""Outcomes of the decisions: where frames come out, on one switch and on a tree of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import views
from controller.flows import DeleteFlow, Flow, Kind, Match, SendFrame, SetFlow
from controller.igmp import (
    ALL_SYSTEMS,
    build_frame,
    build_leave,
    build_query,
    build_report,
    group_mac,
    parse,
)
from controller.membership import Query, Record, RecordType
from controller.pipeline import Port
from tests.support.flowtable import BROADCAST, End, Fabric, datagram, ethernet, mac

GROUP = "239.1.1.10"


def address(number: int) -> str:
    return f"192.0.2.{number}"


def join(fabric: Fabric, end: End, number: int, group: str = GROUP) -> set[End]:
    record = Record(RecordType.CHANGE_TO_EXCLUDE, group, 0)
    return fabric.send(end, build_report(address(number), 3, (record,), mac(number)))


def leave(fabric: Fabric, end: End, number: int) -> None:
    fabric.send(end, build_leave(address(number), GROUP, mac(number)))


def router_query(fabric: Fabric, end: End) -> None:
    query = build_query(None, 10.0, 125, address(1))
    fabric.send(end, query[:6] + mac(99) + query[12:])


def group_data(fabric: Fabric, end: End, group: str = GROUP) -> set[End]:
    return fabric.send(end, datagram(group, mac(end[0] * 16 + end[1])))


@pytest.fixture
def one() -> Fabric:
    fabric = Fabric()
    fabric.add(1, 4)
    return fabric


@pytest.fixture
def tree() -> Fabric:
    return make_tree()


def make_tree() -> Fabric:
    """s1 in the middle, s2 and s3 at its ports 4 and 5; hosts at ports 1 to 3 of each."""
    fabric = Fabric()
    fabric.wire((1, 4), (2, 4))
    fabric.wire((1, 5), (3, 4))
    for dpid, ports in ((1, 5), (2, 4), (3, 4)):
        fabric.add(dpid, ports)
    fabric.forget()
    return fabric


def test_an_unknown_address_floods_and_a_known_one_does_not(one: Fabric) -> None:
    assert one.send((1, 1), ethernet(BROADCAST, mac(1))) == {(1, 2), (1, 3), (1, 4)}
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 1)}
    assert one.send((1, 1), ethernet(mac(2), mac(1))) == {(1, 2)}
    assert one.send((1, 1), ethernet(mac(9), mac(1))) == {(1, 2), (1, 3), (1, 4)}


def test_a_frame_is_never_sent_back(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    assert one.send((1, 1), ethernet(mac(1), mac(7))) == set()


def test_an_address_that_moves_is_found_at_its_new_port(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    one.send((1, 3), ethernet(BROADCAST, mac(1)))
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 3)}
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 1)}


def test_a_source_that_idled_out_leaves_with_both_flows(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    flow = next(f for f in one.switches[1].flows.values() if f.kind is Kind.HOST_SOURCE)
    assert flow.notify and flow.idle_timeout_s == 300
    del one.switches[1].flows[flow.key]
    one.apply(one.pipeline.flow_removed(1, flow))
    assert views.hosts(one.pipeline) == []
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 1), (1, 3), (1, 4)}


def test_neighbour_discovery_of_ipv6_passes(one: Fabric) -> None:
    frame = ethernet(bytes.fromhex("3333ff000001"), mac(1), 0x86DD)
    assert one.send((1, 1), frame) == {(1, 2), (1, 3), (1, 4)}


def test_reserved_and_forged_addresses_are_dropped(one: Fabric) -> None:
    assert one.send((1, 1), ethernet(bytes.fromhex("0180c2000000"), mac(1))) == set()
    assert one.send((1, 1), ethernet(BROADCAST, bytes.fromhex("01005e000001"))) == set()
    assert views.hosts(one.pipeline) == []


def test_a_group_goes_to_its_members_only(one: Fabric) -> None:
    assert group_data(one, (1, 1)) == set()
    join(one, (1, 2), 12)
    join(one, (1, 3), 13)
    assert group_data(one, (1, 1)) == {(1, 2), (1, 3)}
    assert group_data(one, (1, 2)) == {(1, 3)}


def test_groups_that_share_a_mac_address_are_told_apart(one: Fabric) -> None:
    assert group_mac("239.129.1.10") == group_mac(GROUP)
    join(one, (1, 2), 12)
    assert group_data(one, (1, 1), "239.129.1.10") == set()


def test_a_leave_is_followed_by_questions_and_the_end(one: Fabric) -> None:
    join(one, (1, 2), 12)
    one.forget()
    leave(one, (1, 2), 12)
    one.advance(1.9)
    questions = [end for end, frame in one.sent if frame[:6] == group_mac(GROUP)]
    assert questions == [(1, 2), (1, 2)]
    assert group_data(one, (1, 1)) == {(1, 2)}
    one.advance(0.1)
    assert group_data(one, (1, 1)) == set()


def test_link_local_groups_flood(one: Fabric) -> None:
    join(one, (1, 2), 12, "224.0.0.251")
    assert group_data(one, (1, 1), "224.0.0.251") == {(1, 2), (1, 3), (1, 4)}


def test_reports_are_shown_to_router_ports_only(one: Fabric) -> None:
    assert join(one, (1, 2), 12) == set()
    router_query(one, (1, 4))
    one.forget()
    join(one, (1, 3), 13)
    leave(one, (1, 3), 13)
    assert {end for end, frame in one.sent if frame[6:12] == mac(13)} == {(1, 4)}


def test_group_data_goes_to_router_ports_too(one: Fabric) -> None:
    router_query(one, (1, 4))
    assert group_data(one, (1, 1)) == {(1, 4)}
    join(one, (1, 2), 12)
    assert group_data(one, (1, 1)) == {(1, 2), (1, 4)}
    one.advance(256)
    assert group_data(one, (1, 1)) == {(1, 2)}


def test_a_routers_query_reaches_every_other_edge_port(tree: Fabric) -> None:
    router_query(tree, (2, 1))
    heard = [end for end, frame in tree.sent if frame[6:12] == mac(99)]
    others = {(dpid, port) for dpid in (1, 2, 3) for port in (1, 2, 3)} - {(2, 1)}
    assert sorted(heard) == sorted(others)


def test_unknown_igmp_floods_and_broken_igmp_goes_nowhere(one: Fabric) -> None:
    one.forget()
    body = bytes([0x30, 0, 0xCF, 0xFF, 0, 0, 0, 0])
    frame = build_frame(address(11), ALL_SYSTEMS, body, mac(11))
    one.send((1, 1), frame)
    assert {end for end, sent in one.sent if sent == frame} == {(1, 2), (1, 3), (1, 4)}
    one.forget()
    one.send((1, 1), frame[:40] + b"\xff" + frame[41:])
    assert one.sent == [] and sum(one.pipeline.malformed.values()) == 1


def test_every_edge_port_is_asked_at_once_and_every_interval(tree: Fabric) -> None:
    tree.advance(2)
    tree.forget()
    tree.advance(125)
    asked = sorted(end for end, frame in tree.sent if frame[:6] == group_mac(ALL_SYSTEMS))
    assert asked == [(dpid, port) for dpid in (1, 2, 3) for port in (1, 2, 3)]


def test_links_are_found_and_told(tree: Fabric) -> None:
    kinds = {(row["dpid"], row["port"]): row["peer"] for row in views.ports(tree.pipeline)}
    assert kinds[(1, 4)] == {"dpid": 2, "port": 4} and kinds[(3, 4)] == {"dpid": 1, "port": 5}
    assert [row["kind"] for row in views.ports(tree.pipeline)].count("link") == 4


def test_on_a_tree_group_data_takes_only_the_links_that_lead_to_members(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    assert group_data(tree, (1, 1)) == {(2, 1)}
    assert group_data(tree, (3, 1)) == {(2, 1)}
    assert tree.switches[1].outputs(5, datagram(GROUP, mac(0x31))) - {0xFFFFFFFD} == {4}
    assert tree.switches[2].outputs(2, datagram(GROUP, mac(0x22))) - {0xFFFFFFFD} == {1}
    join(tree, (3, 3), 33)
    assert group_data(tree, (1, 1)) == {(2, 1), (3, 3)}


def test_a_router_on_another_switch_gets_what_nobody_joined(tree: Fabric) -> None:
    router_query(tree, (3, 2))
    assert group_data(tree, (2, 1)) == {(3, 2)}


def test_addresses_are_learned_over_links(tree: Fabric) -> None:
    tree.send((2, 1), ethernet(BROADCAST, mac(1)))
    assert tree.send((3, 1), ethernet(mac(1), mac(2))) == {(2, 1)}


def test_the_view_of_groups_names_ports_and_reporters(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    rows = {row["dpid"]: row["ports"] for row in views.groups(tree.pipeline)}
    assert rows[2] == [{"port": 1, "name": "s2-eth1", "reporters": [address(21)]}]
    assert rows[1] == [{"port": 4, "name": "s1-eth4", "reporters": []}]


def outcomes(fabric: Fabric) -> list[set[End]]:
    """What comes out where, for a sample of frames."""
    ends = [(dpid, port) for dpid in fabric.switches for port in (1, 2, 3)]
    return [group_data(fabric, end) for end in ends]


def test_a_controller_that_returns_changes_no_flow(tree: Fabric) -> None:
    for end, number in (((2, 1), 21), ((3, 3), 33)):
        join(tree, end, number)
        tree.send(end, ethernet(BROADCAST, mac(number)))
    before = {dpid: dict(switch.flows) for dpid, switch in tree.switches.items()}
    tree.forget()
    tree.new_controller()
    for dpid in (1, 2, 3):
        tree.connect(dpid)
    assert {dpid: switch.flows for dpid, switch in tree.switches.items()} == before
    assert not [e for e in tree.effects if isinstance(e, (SetFlow, DeleteFlow))]


def test_a_controller_that_returns_asks_and_ages_what_nobody_confirms(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    join(tree, (3, 3), 33)
    tree.new_controller()
    tree.forget()
    for dpid in (3, 1, 2):
        tree.connect(dpid)
    queries = {end for end, frame in tree.sent if frame[:6] == group_mac(ALL_SYSTEMS)}
    assert {(2, 1), (3, 3), (1, 1)} <= queries
    join(tree, (2, 1), 21)
    assert group_data(tree, (1, 1)) == {(2, 1), (3, 3)}
    tree.advance(200)
    join(tree, (2, 1), 21)
    tree.advance(61)
    assert group_data(tree, (1, 1)) == {(2, 1)}
    assert group_data(tree, (3, 1)) == {(2, 1)}


def test_router_ports_outlive_the_controller(one: Fabric) -> None:
    router_query(one, (1, 4))
    join(one, (1, 2), 12)
    one.new_controller()
    one.connect(1)
    assert group_data(one, (1, 1)) == {(1, 2), (1, 4)}
    assert group_data(one, (1, 1), "239.9.9.9") == {(1, 4)}
    assert [row["router"] for row in views.ports(one.pipeline)] == [False, False, False, True]


def test_a_switch_that_lost_its_flows_gets_them_again(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    tree.send((2, 1), ethernet(BROADCAST, mac(21)))
    before = outcomes(tree)
    for dpid in tree.switches:
        tree.apply(tree.pipeline.switch_down(dpid))
        tree.switches[dpid].flows.clear()
        tree.connect(dpid)
    assert outcomes(tree) == before


def test_stale_flows_of_ours_are_removed(one: Fabric) -> None:
    stale = Flow(1, 77, Match(eth_type=0x0800), Kind.BASE, (2,))
    one.switches[1].flows[stale.key] = stale
    one.new_controller()
    one.connect(1)
    assert stale.key not in one.switches[1].flows


def test_a_port_that_goes_down_takes_all_behind_it(one: Fabric) -> None:
    join(one, (1, 2), 12)
    one.send((1, 2), ethernet(BROADCAST, mac(12)))
    one.apply(one.pipeline.port_changed(1, 2, Port("s1-eth2", up=False), one.now))
    assert group_data(one, (1, 1)) == set()
    assert views.hosts(one.pipeline) == [{"dpid": 1, "mac": "02:00:00:00:00:11", "port": 1}]


def test_a_port_that_comes_up_is_asked_at_once(one: Fabric) -> None:
    one.advance(5)
    one.forget()
    one.switches[1].ports[5] = Port("s1-eth5")
    one.apply(one.pipeline.port_changed(1, 5, Port("s1-eth5"), one.now))
    query = next(frame for end, frame in one.sent if end == (1, 5) and frame[12:14] == b"\x08\x00")
    message = parse(query)
    assert isinstance(message, Query) and message.max_response_s == 0.5


def test_a_link_that_falls_silent_is_an_edge_again(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    tree.wires.clear()
    tree.advance(50)
    assert all(row["kind"] == "edge" for row in views.ports(tree.pipeline))
    assert group_data(tree, (1, 1)) == set()


def test_links_and_members_stay_while_a_switch_is_away(tree: Fabric) -> None:
    join(tree, (2, 1), 21)
    tree.apply(tree.pipeline.switch_down(2))
    tree.advance(100)
    assert group_data(tree, (1, 1)) == {(2, 1)}


def test_loops_are_told() -> None:
    fabric = Fabric()
    fabric.wire((1, 1), (2, 1))
    fabric.wire((1, 2), (2, 2))
    fabric.add(1, 3)
    fabric.add(2, 3)
    assert any("loop" in str(effect) for effect in fabric.effects)


def test_nothing_is_sent_to_a_switch_that_is_not_connected(tree: Fabric) -> None:
    tree.apply(tree.pipeline.switch_down(2))
    tree.forget()
    join(tree, (3, 1), 31)
    tree.advance(300)
    sent = [e for e in tree.effects if isinstance(e, (SetFlow, DeleteFlow, SendFrame))]
    assert all(effect.dpid != 2 for effect in sent)
    assert tree.pipeline.packet_in(2, 1, ethernet(BROADCAST, mac(1)), tree.now) == []


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "talk", "wait", "restart"]),
        st.sampled_from([1, 2, 3]),
        st.sampled_from([1, 2, 3]),
    ),
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(HAPPENINGS)
def test_after_anything_group_data_reaches_exactly_the_members(
    happenings: list[tuple[str, int, int]],
) -> None:
    fabric, members = make_tree(), set()
    for verb, dpid, port in happenings:
        end, number = (dpid, port), dpid * 16 + port
        if verb == "join":
            join(fabric, end, number)
            members.add(end)
        elif verb == "leave":
            leave(fabric, end, number)
            fabric.advance(3)
            members.discard(end)
        elif verb == "talk":
            fabric.send(end, ethernet(BROADCAST, mac(number)))
        elif verb == "wait":
            fabric.advance(10)
        else:
            fabric.new_controller()
            for switch in (port, *({1, 2, 3} - {port})):
                fabric.connect(switch)
        for sender in ((1, 1), (2, 2), (3, 3)):
            assert group_data(fabric, sender) == members - {sender}
