"""Restarts of controller and switches: flows that are right stay, wrong ones are corrected."""

from __future__ import annotations

import pytest

from controller import views
from controller.constants import ETHERTYPE_IPV6
from controller.flows import DeleteFlow, Flow, Kind, Match, PortRef, SetFlow
from controller.reconciliation import Reconciliation
from controller.snooping import Settings
from controller.underlay import PortState, Underlay
from tests.support.families import IPV4, IPV6, Family, both_families
from tests.support.flowtable import BROADCAST, Fabric, ethernet, mac


def restart(fabric: Fabric, *order: int) -> None:
    """Replace the controller; the switches connect to the new one in this order."""
    fabric.new_controller()
    fabric.forget()
    for dpid in order:
        fabric.connect(dpid)


def outcomes(fabric: Fabric, family: Family) -> list[set[PortRef]]:
    """What comes out where, for group data from every edge port."""
    ports = [(dpid, number) for dpid in fabric.switches for number in (1, 2, 3)]
    return [family.send_data(fabric, port) for port in ports]


@both_families
def test_a_restarted_controller_changes_no_flow(tree: Fabric, family: Family) -> None:
    for port, number in (((2, 1), 21), ((3, 3), 33)):
        family.join(tree, port, number)
        tree.send(port, ethernet(BROADCAST, mac(number)))
    before = {dpid: dict(switch.flows) for dpid, switch in tree.switches.items()}
    restart(tree, 1, 2, 3)
    assert {dpid: switch.flows for dpid, switch in tree.switches.items()} == before
    assert not [e for e in tree.effects if isinstance(e, (SetFlow, DeleteFlow))]


def test_a_restarted_controller_keeps_both_protocols(tree: Fabric) -> None:
    IPV6.join(tree, (2, 1), 21)
    IPV6.join(tree, (3, 3), 33)
    IPV4.join(tree, (3, 3), 33)
    tree.send((1, 2), IPV6.query())
    before = {dpid: dict(switch.flows) for dpid, switch in tree.switches.items()}
    restart(tree, 3, 1, 2)
    assert {dpid: switch.flows for dpid, switch in tree.switches.items()} == before
    assert not [e for e in tree.effects if isinstance(e, (SetFlow, DeleteFlow))]
    assert IPV6.send_data(tree, (1, 1)) == {(1, 2), (2, 1), (3, 3)}
    assert IPV4.send_data(tree, (1, 1)) == {(3, 3)}
    assert {(2, 1), (3, 3), (1, 1)} <= {port for port, _ in IPV6.queries(tree)}


@both_families
def test_a_restarted_controller_queries_and_drops_what_is_not_reported(
    tree: Fabric, family: Family
) -> None:
    family.join(tree, (2, 1), 21)
    family.join(tree, (3, 3), 33)
    restart(tree, 3, 1, 2)
    queried = {port for port, query in family.queries(tree) if query.group is None}
    assert {(2, 1), (3, 3), (1, 1)} <= queried
    family.join(tree, (2, 1), 21)
    assert family.send_data(tree, (1, 1)) == {(2, 1), (3, 3)}
    tree.advance(200)
    family.join(tree, (2, 1), 21)
    tree.advance(61)
    assert family.send_data(tree, (1, 1)) == {(2, 1)}
    assert family.send_data(tree, (3, 1)) == {(2, 1)}


@both_families
def test_a_restored_membership_lasts_260_seconds_from_the_restart(
    tree: Fabric, family: Family
) -> None:
    family.join(tree, (2, 1), 21)
    family.join(tree, (3, 3), 33)
    tree.advance(200)
    restart(tree, 1, 2, 3)
    family.join(tree, (2, 1), 21)
    tree.advance(259)
    family.join(tree, (2, 1), 21)
    tree.advance(1)
    assert family.send_data(tree, (1, 1)) == {(2, 1)}


@pytest.mark.parametrize(("family", "unjoined"), [(IPV4, "239.9.9.9"), (IPV6, "ff05::9")])
def test_router_ports_are_restored(one: Fabric, family: Family, unjoined: str) -> None:
    one.send((1, 4), family.query())
    family.join(one, (1, 2), 12)
    restart(one, 1)
    assert family.send_data(one, (1, 1)) == {(1, 2), (1, 4)}
    assert family.send_data(one, (1, 1), unjoined) == {(1, 4)}
    rows = views.ports(one.pipeline.underlay)
    assert [row["router"] for row in rows] == [False, False, False, True]


@both_families
def test_a_switch_that_lost_its_flows_gets_them_again(tree: Fabric, family: Family) -> None:
    family.join(tree, (2, 1), 21)
    tree.send((2, 1), ethernet(BROADCAST, mac(21)))
    before = outcomes(tree, family)
    for dpid in tree.switches:
        tree.apply(tree.pipeline.switch_down(dpid))
        tree.switches[dpid].flows.clear()
        tree.connect(dpid)
    assert outcomes(tree, family) == before


def test_stale_flows_of_the_controller_are_removed(one: Fabric) -> None:
    stale = Flow(1, 77, Match(eth_type=0x0800), Kind.BASE, (2,))
    one.switches[1].flows[stale.key] = stale
    restart(one, 1)
    assert stale.key not in one.switches[1].flows


def test_missing_flows_of_one_protocol_are_added_and_the_other_is_kept(one: Fabric) -> None:
    """The flows are those of a controller without MLD."""
    IPV4.join(one, (1, 3), 13)
    flows = one.switches[1].flows
    for key in [key for key, flow in flows.items() if flow.match.eth_type == ETHERTYPE_IPV6]:
        del flows[key]
    restart(one, 1)
    IPV6.join(one, (1, 2), 12)
    assert IPV6.send_data(one, (1, 1)) == {(1, 2)}
    assert IPV4.send_data(one, (1, 1)) == {(1, 3)}
    assert IPV6.send_data(one, (1, 1), IPV6.all_hosts) == {(1, 2), (1, 3), (1, 4)}


def test_only_the_difference_is_sent_additions_first() -> None:
    underlay = Underlay(Settings(), 0.0)
    underlay.port_states[1] = {1: PortState("p1")}
    underlay.connected.add(1)
    flows = Reconciliation(underlay)
    stale = Flow(1, 77, Match(), Kind.BASE)
    flows.set_installed(1, [stale])
    effects = flows.sync_switch(1)
    assert [type(effect) for effect in effects] == [SetFlow] * (len(effects) - 1) + [DeleteFlow]
    assert effects[-1] == DeleteFlow(1, stale)
    assert flows.sync_switch(1) == []
    lost = effects[0]
    assert isinstance(lost, SetFlow)
    flows.flow_lost(1, lost.flow)
    assert flows.sync_switch(1) == [lost]
