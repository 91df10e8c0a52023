"""Three switches in a tree: links, group data over links, and switches that disconnect."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controller import views
from controller.constants import CONTROLLER
from controller.flows import DeleteFlow, Notice, PortRef, SendFrame, SetFlow
from controller.links import build_probe
from tests.support.families import FAMILIES, IPV4, IPV6, Family, both_families
from tests.support.flowtable import BROADCAST, Fabric, datagram, ethernet, mac, tree_of_three


def test_links_are_found_and_reported(tree: Fabric) -> None:
    rows = views.ports(tree.pipeline.underlay)
    peers = {(row["dpid"], row["port"]): row["peer"] for row in rows}
    assert peers[(1, 4)] == {"dpid": 2, "port": 4} and peers[(3, 4)] == {"dpid": 1, "port": 5}
    assert [row["kind"] for row in rows].count("link") == 4


@both_families
def test_group_data_takes_only_the_links_towards_members(tree: Fabric, family: Family) -> None:
    family.join(tree, (2, 1), 21)
    assert family.send_data(tree, (1, 1)) == {(2, 1)}
    assert family.send_data(tree, (3, 1)) == {(2, 1)}
    for dpid, ingress, source, output in ((1, 5, 0x31, 4), (2, 2, 0x22, 1), (3, 1, 0x31, 4)):
        frame = datagram(family.group, mac(source))
        assert tree.switches[dpid].outputs(ingress, frame) - {CONTROLLER} == {output}
    family.join(tree, (3, 3), 33)
    assert family.send_data(tree, (1, 1)) == {(2, 1), (3, 3)}


@both_families
def test_a_router_on_another_switch_gets_groups_without_members(
    tree: Fabric, family: Family
) -> None:
    tree.send((3, 2), family.query())
    assert family.send_data(tree, (2, 1)) == {(3, 2)}


def test_addresses_are_learned_over_links(tree: Fabric) -> None:
    tree.send((2, 1), ethernet(BROADCAST, mac(1)))
    assert tree.send((3, 1), ethernet(mac(1), mac(2))) == {(2, 1)}


@both_families
def test_the_address_of_a_reporter_is_known_to_every_switch(tree: Fabric, family: Family) -> None:
    family.join(tree, (2, 1), 21)
    assert tree.send((3, 1), ethernet(mac(21), mac(31))) == {(2, 1)}


@both_families
def test_the_view_of_groups_has_ports_and_reporters(tree: Fabric, family: Family) -> None:
    family.join(tree, (2, 1), 21)
    rows = {row["dpid"]: row["ports"] for row in views.groups(tree.pipeline.underlay)}
    assert rows[2] == [{"port": 1, "name": "s2-eth1", "reporters": [family.host(21)]}]
    assert rows[1] == [{"port": 4, "name": "s1-eth4", "reporters": []}]


def test_the_view_of_groups_has_both_protocols(tree: Fabric) -> None:
    IPV6.join(tree, (2, 1), 21)
    IPV4.join(tree, (2, 2), 22)
    rows = [(row["group"], row["ports"]) for row in views.groups(tree.pipeline.underlay)]
    assert rows[2:4] == [
        (IPV4.group, [{"port": 2, "name": "s2-eth2", "reporters": ["192.0.2.22"]}]),
        (IPV6.group, [{"port": 1, "name": "s2-eth1", "reporters": ["fe80::15"]}]),
    ]


@both_families
def test_a_link_without_probes_becomes_two_edge_ports(tree: Fabric, family: Family) -> None:
    family.join(tree, (2, 1), 21)
    tree.wires.clear()
    tree.advance(50)
    assert all(row["kind"] == "edge" for row in views.ports(tree.pipeline.underlay))
    assert family.send_data(tree, (1, 1)) == set()


@both_families
def test_links_and_members_stay_while_a_switch_is_disconnected(
    tree: Fabric, family: Family
) -> None:
    family.join(tree, (2, 1), 21)
    tree.apply(tree.pipeline.switch_down(2))
    tree.advance(100)
    assert family.send_data(tree, (1, 1)) == {(2, 1)}


def test_a_loop_is_reported() -> None:
    fabric = Fabric()
    fabric.wire((1, 1), (2, 1))
    fabric.wire((1, 2), (2, 2))
    fabric.add(1, 3)
    fabric.add(2, 3)
    assert any("loop" in str(effect) for effect in fabric.effects)


@both_families
def test_nothing_is_sent_to_a_disconnected_switch(tree: Fabric, family: Family) -> None:
    tree.apply(tree.pipeline.switch_down(2))
    tree.forget()
    family.join(tree, (3, 1), 31)
    tree.advance(300)
    sent = [e for e in tree.effects if isinstance(e, (SetFlow, DeleteFlow, SendFrame))]
    assert all(effect.dpid != 2 for effect in sent)
    assert tree.pipeline.packet_in(2, 1, ethernet(BROADCAST, mac(1)), tree.now) == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "talk", "wait", "restart"]),
        st.sampled_from([1, 2, 3]),
        st.sampled_from([1, 2, 3]),
        st.sampled_from(FAMILIES),
        st.booleans(),
    ),
    max_size=15,
)


def play(fabric: Fabric, verb: str, port: PortRef) -> None:
    """Perform the steps that do not concern memberships."""
    if verb == "talk":
        fabric.send(port, ethernet(BROADCAST, mac(port[0] * 16 + port[1])))
    elif verb == "wait":
        fabric.advance(10)
    else:
        fabric.new_controller()
        for switch in (port[1], *({1, 2, 3} - {port[1]})):
            fabric.connect(switch)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_group_data_always_reaches_exactly_the_members_of_its_protocol(
    steps: list[tuple[str, int, int, Family, bool]],
) -> None:
    fabric = tree_of_three()
    members: dict[Family, set[PortRef]] = {family: set() for family in FAMILIES}
    for verb, dpid, number, family, by_record in steps:
        port, host = (dpid, number), dpid * 16 + number
        if verb == "join":
            family.join(fabric, port, host)
            members[family].add(port)
        elif verb == "leave":
            family.leave_group(fabric, port, host, by_record)
            fabric.advance(3)
            members[family].discard(port)
        else:
            play(fabric, verb, port)
        for each, ports in members.items():
            for sender in ((1, 1), (2, 2), (3, 3)):
                assert each.send_data(fabric, sender) == ports - {sender}


def test_a_probe_that_returns_to_its_own_switch_is_a_loop_and_not_a_link(one: Fabric) -> None:
    effects = one.pipeline.packet_in(1, 2, build_probe(1, 1), 10.0)
    assert effects == [Notice("ERROR: switch 1 ports 1 and 2 form a loop")]
    assert all(row["kind"] == "edge" for row in views.ports(one.pipeline.underlay))


def test_lldp_of_other_devices_is_ignored(one: Fabric) -> None:
    foreign = build_probe(1, 1)[:14] + bytes(46)
    assert one.pipeline.packet_in(1, 2, foreign, 10.0) == []
    assert all(row["kind"] == "edge" for row in views.ports(one.pipeline.underlay))
