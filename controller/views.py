"""The controller's state as the control socket reports it, in JSON types. Pure."""

from __future__ import annotations

from typing import Any

from .flows import mac_text
from .protocols import as_number, protocol_of
from .underlay import Underlay


def groups(underlay: Underlay) -> list[dict[str, Any]]:
    """For each switch and group: the ports the group's packets leave by, and their reporters."""
    rows = []
    for dpid in sorted(underlay.connected):
        for group in sorted(underlay.groups(), key=_address_order):
            ports = [
                {
                    "port": number,
                    "name": underlay.port_name((dpid, number)),
                    "reporters": underlay.reporters(group, (dpid, number)),
                }
                for number in sorted(underlay.group_ports(dpid, group))
            ]
            rows.append({"dpid": dpid, "group": group, "ports": ports})
    return rows


def ports(underlay: Underlay) -> list[dict[str, Any]]:
    """Each port of each connected switch: edge or link, and whether a router is at it."""
    rows = []
    for dpid in sorted(underlay.connected):
        for number in underlay.ports(dpid):
            peer = underlay.links.peer((dpid, number))
            row = {
                "dpid": dpid,
                "port": number,
                "name": underlay.port_name((dpid, number)),
                "kind": "edge" if peer is None else "link",
                "peer": None if peer is None else {"dpid": peer[0], "port": peer[1]},
                "router": underlay.is_router_port((dpid, number)),
            }
            rows.append(row)
    return rows


def hosts(underlay: Underlay) -> list[dict[str, Any]]:
    """Each address that each connected switch has learned, and its port."""
    return [
        {"dpid": dpid, "mac": mac_text(mac), "port": number}
        for dpid in sorted(underlay.connected)
        for mac, number in underlay.switching.hosts(dpid)
    ]


def _address_order(address: str) -> tuple[str, int]:
    """IGMP groups before MLD groups, each in numerical order."""
    return protocol_of(address).name, as_number(address)
