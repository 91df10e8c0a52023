"""Translation of effects to OpenFlow 1.3 messages, and of flow descriptions to `Flow`.

`datapath` is the framework's object for a connected switch. The message classes are taken from it
(`ofproto`, `ofproto_parser`), so that this module imports neither Ryu nor os-ken.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from .constants import EXACT_IPV4, EXACT_IPV6, EXACT_MAC, NO_BUFFER
from .flows import (
    DeleteFlow,
    Flow,
    Match,
    SendFrame,
    SetFlow,
    cookie_of,
    kind_of,
    mac_text,
)

_EXACT_IP = {"ipv4_dst": EXACT_IPV4, "ipv6_dst": EXACT_IPV6}


def message(datapath: Any, effect: SetFlow | DeleteFlow | SendFrame) -> Any:
    """The message that executes an effect."""
    if isinstance(effect, SendFrame):
        return _packet_out(datapath, effect)
    command = "OFPFC_ADD" if isinstance(effect, SetFlow) else "OFPFC_DELETE_STRICT"
    return _flow_mod(datapath, effect.flow, command)


def _packet_out(datapath: Any, effect: SendFrame) -> Any:
    ofproto, parser = datapath.ofproto, datapath.ofproto_parser
    return parser.OFPPacketOut(
        datapath=datapath,
        buffer_id=ofproto.OFP_NO_BUFFER,
        # The frame has no ingress port. A switch does not output a frame to its ingress port.
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
        # Without this flag the switch removes an idle flow silently.
        flags=ofproto.OFPFF_SEND_FLOW_REM if flow.notify else 0,
        # For deletion: select flows by the match alone, not by their outputs.
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
        buffer_id=ofproto.OFP_NO_BUFFER,
    )


def _instructions(datapath: Any, flow: Flow) -> list[Any]:
    ofproto, parser = datapath.ofproto, datapath.ofproto_parser
    instructions = []
    if flow.outputs:
        actions = [parser.OFPActionOutput(port, NO_BUFFER) for port in flow.outputs]
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
            # An exact mask is left out, as switches do when they report their flows.
            fields[name] = text if mask == EXACT_MAC else (text, mac_text(mask))
    for name, exact in _EXACT_IP.items():
        prefix = getattr(match, name)
        if prefix is not None:
            fields[name] = prefix[0] if prefix[1] == exact else prefix
    return fields


def flow_of(ofproto: Any, description: Any) -> Flow:
    """A flow statistics entry or flow-removed message as a `Flow`.

    Only for flows with the controller's cookie: other flows may use fields that `Flow` lacks.
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
    """True for a flow without the controller's cookie: another program installed it."""
    return kind_of(description.cookie) is None


def delete_foreign(datapath: Any, description: Any) -> Any:
    """The message that removes a foreign flow by its own match, whatever fields it has."""
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
    address, mask = value if isinstance(value, tuple) else (value, mac_text(EXACT_MAC))
    return bytes.fromhex(address.replace(":", "")), bytes.fromhex(mask.replace(":", ""))


def _prefix(fields: dict[str, Any], name: str) -> tuple[str, str] | None:
    """An address and its mask in canonical text, whichever form the framework uses for IPv6."""
    value: str | tuple[str, str] | None = fields.get(name)
    if value is None:
        return None
    address, mask = value if isinstance(value, tuple) else (value, _EXACT_IP[name])
    return str(ipaddress.ip_address(address)), str(ipaddress.ip_address(mask))
