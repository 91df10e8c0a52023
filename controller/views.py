"""What the controller tells about its state, in the shapes of the control socket. Pure."""

from __future__ import annotations

from typing import Any

from .flows import mac_text
from .pipeline import Pipeline
from .protocols import as_number, protocol_of


def groups(pipeline: Pipeline) -> list[dict[str, Any]]:
    """For each switch and group: the ports the group's packets leave by, and who asked there."""
    rows = []
    for dpid in sorted(pipeline.connected):
        for group in sorted(pipeline.groups(), key=_address_order):
            ports = [
                {
                    "port": number,
                    "name": pipeline.port_name((dpid, number)),
                    "reporters": pipeline.reporters(group, (dpid, number)),
                }
                for number in sorted(pipeline.group_ports(dpid, group))
            ]
            rows.append({"dpid": dpid, "group": group, "ports": ports})
    return rows


def ports(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Each port of each connected switch: edge or link, and whether a router is behind it."""
    rows = []
    for dpid in sorted(pipeline.connected):
        for number in pipeline.ports(dpid):
            peer = pipeline.links.peer((dpid, number))
            row = {
                "dpid": dpid,
                "port": number,
                "name": pipeline.port_name((dpid, number)),
                "kind": "edge" if peer is None else "link",
                "peer": None if peer is None else {"dpid": peer[0], "port": peer[1]},
                "router": pipeline.is_router_port((dpid, number)),
            }
            rows.append(row)
    return rows


def hosts(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Each address each switch knows, and the port it is behind."""
    return [
        {"dpid": dpid, "mac": mac_text(mac), "port": number}
        for dpid in sorted(pipeline.connected)
        for mac, number in pipeline.switching.hosts(dpid)
    ]


def _address_order(address: str) -> tuple[str, int]:
    return protocol_of(address).name, as_number(address)
