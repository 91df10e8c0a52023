"""State rebuilt from a switch's flows, and state of switches that reconnect or change ports."""

from __future__ import annotations

from controller import tables, views
from controller.flows import Flow
from controller.links import build_probe
from controller.reconciliation import restore_state
from controller.snooping import Settings
from controller.underlay import PortState, Underlay
from tests.support.families import IPV4, Family, both_families
from tests.support.flowtable import BROADCAST, Fabric, ethernet, mac


def restored(flows: list[Flow]) -> Underlay:
    """The state of switch 1 after these flows were read; its port 4 is down."""
    underlay = Underlay(Settings(), 0.0)
    underlay.port_states[1] = {n: PortState(f"p{n}", up=n != 4) for n in range(1, 5)}
    restore_state(underlay, 1, flows, 0.0)
    return underlay


@both_families
def test_a_router_port_in_a_group_flow_is_not_restored_as_a_member(family: Family) -> None:
    underlay = restored(
        [
            tables.group_flow(family.group, frozenset({2, 3})),
            tables.routers_flow(family.protocol, frozenset({3, 4})),
        ]
    )
    snooping = underlay.snooping_of(family.group)
    assert snooping.members(family.group) == {(1, 2)}
    assert snooping.routers() == {(1, 3)}  # port 4 is down


def test_of_two_source_flows_the_one_of_the_destination_flow_counts() -> None:
    """A controller ended after it had installed the flows of a moved address."""
    old, new = tables.host_flows(mac(1), 1), tables.host_flows(mac(1), 3)
    for flows in ([*old[:1], *new], [*new, *old[:1]]):
        assert list(restored(flows).switching.hosts(1)) == [(mac(1), 3)]


def test_an_address_at_a_port_that_is_down_is_not_restored() -> None:
    assert list(restored(tables.host_flows(mac(1), 4)).switching.hosts(1)) == []


@both_families
def test_a_port_that_went_down_while_its_switch_was_disconnected_is_forgotten(
    one: Fabric, family: Family
) -> None:
    family.join(one, (1, 2), 12)
    one.apply(one.pipeline.switch_down(1))
    one.switches[1].ports[2] = PortState("s1-eth2", up=False)
    one.connect(1)
    assert one.pipeline.underlay.groups() == []
    assert views.hosts(one.pipeline.underlay) == []


def test_a_known_switch_that_reconnects_keeps_its_state_whatever_its_flows(one: Fabric) -> None:
    IPV4.join(one, (1, 2), 12)
    one.apply(one.pipeline.switch_down(1))
    stale = tables.group_flow(IPV4.other_group, frozenset({3}))
    one.switches[1].flows[stale.key] = stale
    one.connect(1)
    assert one.pipeline.underlay.groups() == [IPV4.group]
    assert stale.key not in one.switches[1].flows


def test_links_of_a_reconnected_switch_get_a_new_lifetime(tree: Fabric) -> None:
    tree.apply(tree.pipeline.switch_down(2))
    tree.advance(100)
    tree.wires.clear()  # no probe passes from now on
    tree.connect(2)
    tree.advance(20)
    assert tree.pipeline.underlay.links.peer((2, 4)) == (1, 4)


def test_a_switch_that_lost_a_source_flow_gets_it_again(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    source = tables.host_flows(mac(1), 1)[0]
    del one.switches[1].flows[source.key]
    one.advance(2)
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    assert source.key in one.switches[1].flows


def test_an_idle_flow_at_the_old_port_of_a_moved_address_changes_nothing(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    one.send((1, 3), ethernet(BROADCAST, mac(1)))
    assert one.pipeline.flow_removed(1, tables.host_flows(mac(1), 1)[0]) == []
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 3)}


def test_a_probe_of_an_unknown_port_makes_no_link(one: Fabric) -> None:
    assert one.pipeline.packet_in(1, 2, build_probe(7, 1), 1.0) == []
    assert one.pipeline.underlay.links.peer((1, 2)) is None


def test_reserved_ports_are_not_ports_of_a_switch() -> None:
    fabric = Fabric()
    fabric.add(1, 2)
    fabric.switches[1].ports[0xFFFFFFFE] = PortState("s1")  # OFPP_LOCAL
    fabric.connect(1)
    assert fabric.pipeline.underlay.ports(1) == [1, 2]


@both_families
def test_a_message_that_arrives_over_a_link_is_ignored(tree: Fabric, family: Family) -> None:
    """Only edge ports have members and routers."""
    for frame in (
        family.old_report(family.host(9), family.group, mac(9)),
        family.query(),
    ):
        assert tree.pipeline.packet_in(1, 4, frame, tree.now) == []
    assert tree.pipeline.underlay.groups() == []


@both_families
def test_the_controllers_own_query_makes_no_router_port(one: Fabric, family: Family) -> None:
    """Its switches can be connected by a link that no probe has shown yet."""
    build = family.protocol.build_query
    own = build(None, 10.0, 125, family.router)
    assert one.pipeline.packet_in(1, 2, own, one.now) == []
    assert not one.pipeline.underlay.is_router_port((1, 2))
