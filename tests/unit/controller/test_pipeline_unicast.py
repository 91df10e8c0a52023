"""Where unicast, broadcast and invalid frames come out of one switch, and its ports."""

from __future__ import annotations

from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether

from controller import views
from controller.flows import Kind
from controller.underlay import PortState
from tests.support.families import Family, both_families
from tests.support.flowtable import BROADCAST, Fabric, ethernet, mac

ALL_OTHERS = {(1, 2), (1, 3), (1, 4)}


def test_a_frame_to_an_unknown_address_is_flooded_and_to_a_known_one_is_not(one: Fabric) -> None:
    assert one.send((1, 1), ethernet(BROADCAST, mac(1))) == ALL_OTHERS
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 1)}
    assert one.send((1, 1), ethernet(mac(2), mac(1))) == {(1, 2)}
    assert one.send((1, 1), ethernet(mac(9), mac(1))) == ALL_OTHERS


def test_a_frame_is_never_sent_to_its_ingress_port(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    assert one.send((1, 1), ethernet(mac(1), mac(7))) == set()


def test_an_address_that_moves_is_found_at_its_new_port(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    one.send((1, 3), ethernet(BROADCAST, mac(1)))
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 3)}
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 1)}


def test_an_address_that_idled_out_loses_both_flows(one: Fabric) -> None:
    one.send((1, 1), ethernet(BROADCAST, mac(1)))
    flow = next(f for f in one.switches[1].flows.values() if f.kind is Kind.HOST_SOURCE)
    assert flow.notify and flow.idle_timeout_s == 300
    del one.switches[1].flows[flow.key]
    one.apply(one.pipeline.flow_removed(1, flow))
    assert views.hosts(one.pipeline.underlay) == []
    assert one.send((1, 2), ethernet(mac(1), mac(2))) == {(1, 1), (1, 3), (1, 4)}


def test_frames_to_solicited_node_addresses_are_flooded(one: Fabric) -> None:
    frame = ethernet(bytes.fromhex("3333ff000001"), mac(1), 0x86DD)
    assert one.send((1, 1), frame) == ALL_OTHERS


def test_neighbour_discovery_needs_no_report(one: Fabric) -> None:
    packet = IPv6(src="2001:db8::1", dst="ff02::1:ff00:2") / ICMPv6ND_NS(tgt="2001:db8::2")
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="33:33:ff:00:00:02") / packet)
    assert one.send((1, 1), frame) == ALL_OTHERS
    answer = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IPv6(dst="2001:db8::1")
    assert one.send((1, 2), bytes(answer)) == {(1, 1)}


def test_reserved_destinations_and_multicast_sources_are_dropped(one: Fabric) -> None:
    assert one.send((1, 1), ethernet(bytes.fromhex("0180c2000000"), mac(1))) == set()
    assert one.send((1, 1), ethernet(BROADCAST, bytes.fromhex("01005e000001"))) == set()
    assert views.hosts(one.pipeline.underlay) == []


@both_families
def test_a_port_that_goes_down_loses_its_members_and_addresses(one: Fabric, family: Family) -> None:
    family.join(one, (1, 2), 12)
    one.send((1, 2), ethernet(BROADCAST, mac(12)))
    one.apply(one.pipeline.port_changed(1, 2, PortState("s1-eth2", up=False), one.now))
    assert family.send_data(one, (1, 1)) == set()
    hosts = views.hosts(one.pipeline.underlay)
    assert hosts == [{"dpid": 1, "mac": "02:00:00:00:00:11", "port": 1}]
