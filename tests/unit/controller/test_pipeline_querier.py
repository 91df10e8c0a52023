"""Which ports the controller's querier sends to and when, for both protocols."""

from __future__ import annotations

from controller.membership import Query
from controller.underlay import PortState
from tests.support.families import FAMILIES, ROUTER_MAC, Family, both_families
from tests.support.flowtable import Fabric

EDGES = [(dpid, port) for dpid in (1, 2, 3) for port in (1, 2, 3)]


@both_families
def test_every_edge_port_is_queried_every_interval(tree: Fabric, family: Family) -> None:
    tree.advance(2)
    tree.forget()
    tree.advance(125)
    assert sorted(port for port, _ in family.queries(tree)) == EDGES
    expected = Query(family.proxy, family.version, None, 10.0)
    assert {query for _, query in family.queries(tree)} == {expected}


@both_families
def test_a_port_that_comes_up_is_queried_at_once(one: Fabric, family: Family) -> None:
    one.advance(5)
    one.forget()
    one.switches[1].ports[5] = PortState("s1-eth5")
    one.apply(one.pipeline.port_changed(1, 5, PortState("s1-eth5"), one.now))
    expected = Query(family.proxy, family.version, None, 0.5)
    assert family.queries(one) == [((1, 5), expected)]


@both_families
def test_a_port_that_went_down_again_is_not_queried(one: Fabric, family: Family) -> None:
    one.advance(5)
    one.forget()
    for is_up in (True, False):
        one.apply(one.pipeline.port_changed(1, 5, PortState("s1-eth5", is_up), one.now))
    one.advance(5)
    assert [port for port, _ in family.queries(one)] == [(1, 5)]  # the query while it was up


@both_families
def test_a_routers_query_reaches_every_other_edge_port(tree: Fabric, family: Family) -> None:
    tree.send((2, 1), family.query())
    outputs = [port for port, frame in tree.sent if frame[6:12] == ROUTER_MAC]
    assert sorted(outputs) == [port for port in EDGES if port != (2, 1)]


@both_families
def test_the_querier_stops_for_another_one_of_its_protocol_only(
    one: Fabric, family: Family
) -> None:
    one.advance(2)
    one.send((1, 4), family.query())
    one.forget()
    one.advance(130)
    assert family.queries(one) == []
    other = next(each for each in FAMILIES if each is not family)
    assert other.queries(one)
