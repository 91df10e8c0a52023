"""Decisions to OpenFlow 1.3 messages, and the switch's flow descriptions back to `Flow`s.

The message classes come from the framework by the datapath argument (`ofproto`, `ofproto_parser`),
so that this file imports neither Ryu nor os-ken.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from .flows import (
    EXACT_IPV4,
    EXACT_IPV6,
    DeleteFlow,
    Flow,
    Match,
    SendFrame,
    SetFlow,
    cookie_of,
    kind_of,
    mac_text,
)

_NO_BUFFER = 0xFFFF  # OFPCML_NO_BUFFER: the controller gets whole frames
_EXACT_MAC = b"\xff" * 6
_EXACT_IP = {"ipv4_dst": EXACT_IPV4, "ipv6_dst": EXACT_IPV6}


def message(datapath: Any, effect: SetFlow | DeleteFlow | SendFrame) -> Any:
    """The message that carries out an effect."""
    if isinstance(effect, SendFrame):
        return _packet_out(datapath, effect)
    command = "OFPFC_ADD" if isinstance(effect, SetFlow) else "OFPFC_DELETE_STRICT"
    return _flow_mod(datapath, effect.flow, command)


def _packet_out(datapath: Any, effect: SendFrame) -> Any:
    ofproto, parser = datapath.ofproto, datapath.ofproto_parser
    return parser.OFPPacketOut(
        datapath=datapath,
        buffer_id=ofproto.OFP_NO_BUFFER,
        in_port=ofproto.OFPP_CONTROLLER,
        actions=[parser.OFPActionOutput(port) for port in effect.ports],
        data=effect.frame,
    )


def _flow_mod(datapath: Any, flow: Flow, command: str) -> Any:
    ofproto, parser = datapath.ofproto, datapath.ofproto_parser
    return parser.OFPFlowMod(
        datapath=datapath,
        command=getattr(ofproto, command),
        table_id=flow.table,
        priority=flow.priority,
        cookie=0 if flow.kind is None else cookie_of(flow.kind),
        match=parser.OFPMatch(**match_fields(flow.match)),
        instructions=_instructions(datapath, flow),
        idle_timeout=flow.idle_timeout_s,
        flags=ofproto.OFPFF_SEND_FLOW_REM if flow.notify else 0,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
        buffer_id=ofproto.OFP_NO_BUFFER,
    )


def _instructions(datapath: Any, flow: Flow) -> list[Any]:
    ofproto, parser = datapath.ofproto, datapath.ofproto_parser
    instructions = []
    if flow.outputs:
        actions = [parser.OFPActionOutput(port, _NO_BUFFER) for port in flow.outputs]
        apply = ofproto.OFPIT_APPLY_ACTIONS
        instructions.append(parser.OFPInstructionActions(apply, actions))
    if flow.goto is not None:
        instructions.append(parser.OFPInstructionGotoTable(flow.goto))
    return instructions


def match_fields(match: Match) -> dict[str, Any]:
    """A match as keyword arguments of the framework's `OFPMatch`."""
    fields: dict[str, Any] = {}
    for name in ("in_port", "eth_type", "ip_proto", "icmpv6_type"):
        if getattr(match, name) is not None:
            fields[name] = getattr(match, name)
    for name in ("eth_dst", "eth_src"):
        masked = getattr(match, name)
        if masked is not None:
            address, mask = masked
            text = mac_text(address)
            fields[name] = text if mask == _EXACT_MAC else (text, mac_text(mask))
    for name, exact in _EXACT_IP.items():
        prefix = getattr(match, name)
        if prefix is not None:
            fields[name] = prefix[0] if prefix[1] == exact else prefix
    return fields


def flow_of(ofproto: Any, description: Any) -> Flow:
    """A flow statistics entry or flow-removed message as a `Flow`.

    Only for flows that bear our cookie: others may use what `Flow` has no words for.
    """
    outputs: list[int] = []
    goto = None
    for instruction in getattr(description, "instructions", ()):
        if instruction.type == ofproto.OFPIT_GOTO_TABLE:
            goto = instruction.table_id
        for action in getattr(instruction, "actions", ()):
            if action.type == ofproto.OFPAT_OUTPUT:
                outputs.append(action.port)
    return Flow(
        table=description.table_id,
        priority=description.priority,
        match=_match_of(description.match),
        kind=kind_of(description.cookie),
        outputs=tuple(outputs),
        goto=goto,
        idle_timeout_s=description.idle_timeout,
        notify=bool(getattr(description, "flags", 0) & ofproto.OFPFF_SEND_FLOW_REM),
    )


def is_foreign(description: Any) -> bool:
    """True for a flow that does not bear our cookie."""
    return kind_of(description.cookie) is None


def delete_foreign(datapath: Any, description: Any) -> Any:
    """Remove a flow of somebody else's, by its own match, whatever fields that has."""
    ofproto, parser = datapath.ofproto, datapath.ofproto_parser
    return parser.OFPFlowMod(
        datapath=datapath,
        command=ofproto.OFPFC_DELETE_STRICT,
        table_id=description.table_id,
        priority=description.priority,
        match=description.match,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
    )


def _match_of(match: Any) -> Match:
    fields = dict(match.items())
    return Match(
        in_port=fields.get("in_port"),
        eth_dst=_masked_mac(fields.get("eth_dst")),
        eth_src=_masked_mac(fields.get("eth_src")),
        eth_type=fields.get("eth_type"),
        ip_proto=fields.get("ip_proto"),
        ipv4_dst=_prefix(fields, "ipv4_dst"),
        ipv6_dst=_prefix(fields, "ipv6_dst"),
        icmpv6_type=fields.get("icmpv6_type"),
    )


def _masked_mac(value: str | tuple[str, str] | None) -> tuple[bytes, bytes] | None:
    if value is None:
        return None
    address, mask = value if isinstance(value, tuple) else (value, mac_text(_EXACT_MAC))
    return bytes.fromhex(address.replace(":", "")), bytes.fromhex(mask.replace(":", ""))


def _prefix(fields: dict[str, Any], name: str) -> tuple[str, str] | None:
    """An address and its mask, each in the one text that a `Match` has for it."""
    value: str | tuple[str, str] | None = fields.get(name)
    if value is None:
        return None
    address, mask = value if isinstance(value, tuple) else (value, _EXACT_IP[name])
    return str(ipaddress.ip_address(address)), str(ipaddress.ip_address(mask))
