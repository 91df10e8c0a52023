"""Flows to OpenFlow 1.3 bytes and back, with the encoders and decoders of Ryu and of os-ken."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from controller import openflow, tables
from controller.flows import DeleteFlow, Flow, Kind, Match, SendFrame, SetFlow, cookie_of, kind_of
from controller.protocols import PROTOCOLS
from tests.support.flowtable import mac

MATCH_OFFSET = 48  # in a flow modification
FLOWS = [
    *tables.base_flows(),
    *tables.host_flows(mac(1), 3),
    tables.group_flow("239.1.1.10", frozenset({2, 5})),
    tables.group_flow("239.1.1.11", frozenset()),
    tables.group_flow("ff05::ef01:10a", frozenset({2, 5})),
    *(tables.routers_flow(protocol, frozenset({4})) for protocol in PROTOCOLS),
]


@pytest.fixture(params=["ryu", "os_ken"])
def datapath(request: pytest.FixtureRequest) -> Any:
    """What the framework's object for a connected switch has of the protocol."""
    package = pytest.importorskip(f"{request.param}.ofproto").__name__
    protocol = import_module(f"{package}.ofproto_protocol")
    import_module(f"{package}.ofproto_v1_3_parser")
    return protocol.ProtocolDesc(import_module(f"{package}.ofproto_v1_3").OFP_VERSION)


def sent(datapath: Any, effect: SetFlow | DeleteFlow | SendFrame) -> Any:
    """The message of an effect, serialized."""
    message = openflow.message(datapath, effect)
    message.set_xid(1)
    message.serialize()
    return message


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.table}-{flow.priority}")
def test_a_flow_is_decoded_as_it_was_encoded(datapath: Any, flow: Flow) -> None:
    message = sent(datapath, SetFlow(1, flow))
    match = datapath.ofproto_parser.OFPMatch.parser(bytes(message.buf), MATCH_OFFSET)
    described = SimpleNamespace(**{**vars(message), "match": match})
    assert openflow.flow_of(datapath.ofproto, described) == flow
    assert not openflow.is_foreign(described)


def test_adding_and_deleting_use_the_right_commands(datapath: Any) -> None:
    flow = FLOWS[0]
    assert sent(datapath, SetFlow(1, flow)).command == datapath.ofproto.OFPFC_ADD
    assert sent(datapath, DeleteFlow(1, flow)).command == datapath.ofproto.OFPFC_DELETE_STRICT


def test_a_frame_goes_out_of_each_port(datapath: Any) -> None:
    message = sent(datapath, SendFrame(1, (2, 3), b"frame"))
    assert [action.port for action in message.actions] == [2, 3]
    assert bytes(message.buf).endswith(b"frame")


def test_cookies_distinguish_own_flows_from_foreign_ones() -> None:
    assert [kind_of(cookie_of(kind)) for kind in Kind] == list(Kind)
    assert kind_of(0) is None and kind_of(cookie_of(Kind.BASE) | 0xFF) is None
    assert openflow.is_foreign(SimpleNamespace(cookie=7))


def test_a_foreign_flow_is_deleted_by_its_own_match(datapath: Any) -> None:
    match = datapath.ofproto_parser.OFPMatch(eth_type=0x0800, ip_proto=6, tcp_dst=80)
    message = openflow.delete_foreign(
        datapath, SimpleNamespace(table_id=3, priority=9, match=match)
    )
    assert message.match["tcp_dst"] == 80 and (message.table_id, message.priority) == (3, 9)


def test_exact_masks_are_left_out() -> None:
    exact = Match(eth_dst=(mac(1), b"\xff" * 6), ipv4_dst=("239.1.1.10", "255.255.255.255"))
    fields = {"eth_dst": "02:00:00:00:00:01", "ipv4_dst": "239.1.1.10"}
    assert openflow.match_fields(exact) == fields


def test_an_address_is_canonical_in_whichever_form_the_framework_writes_it(datapath: Any) -> None:
    fields = {"eth_type": 0x86DD, "ipv6_dst": ("ff05:0:0:0:0:0:EF01:10A", "ffff:ffff::")}
    description = SimpleNamespace(
        table_id=1, priority=2, cookie=0, idle_timeout=0, match=SimpleNamespace(items=fields.items)
    )
    match = openflow.flow_of(datapath.ofproto, description).match
    assert match.ipv6_dst == ("ff05::ef01:10a", "ffff:ffff::")
