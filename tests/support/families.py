"""IGMP over IPv4 and MLD over IPv6 under one interface, for tests that hold for both.

A `Family` has the addresses of a test and builds the frames of its hosts and of a router.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from controller import igmp
from controller.constants import ALL_NODES, ALL_SYSTEMS, IGMP_PROXY_SOURCE, MLD_PROXY_SOURCE
from controller.flows import PortRef
from controller.membership import Query, Record, RecordType
from controller.protocols import IGMP, MLD, Protocol
from tests.support import mld
from tests.support.flowtable import Fabric, datagram, mac

ROUTER_MAC = mac(99)
HOST_MAC = mac(1)

Row = tuple[int, str, int]  # record type, group, number of sources


@dataclass(frozen=True)
class Family:
    """One membership protocol; host number N has `host(N)` and `mac(N)`."""

    protocol: Protocol
    version: int  # the newest one
    group: str
    other_group: str
    same_mac: str  # a group with the MAC address of `group`
    flooded: str  # a group whose data is flooded
    all_hosts: str  # destination of general queries
    proxy: str  # source of queries of a querier without an address
    unspecified: str
    router: str
    host: Callable[[int], str]
    report: Callable[..., bytes]  # (source, *rows, mac=): a report of the newest version
    old_report: Callable[[str, str, bytes], bytes]  # (source, group, mac): with leave messages
    leave: Callable[[str, str, bytes], bytes]  # (source, group, mac): IGMPv2 Leave, MLDv1 Done
    query: Callable[[], bytes]  # a router's general query from ROUTER_MAC

    def __str__(self) -> str:
        return self.protocol.name.lower()

    def join(
        self, fabric: Fabric, port: PortRef, number: int, group: str | None = None
    ) -> set[PortRef]:
        """A host joins a group; returns the ports that its report comes out of."""
        row = (RecordType.CHANGE_TO_EXCLUDE, group or self.group, 0)
        return fabric.send(port, self.report(self.host(number), row, mac=mac(number)))

    def leave_group(self, fabric: Fabric, port: PortRef, number: int, by_record: bool) -> None:
        """A host leaves `group`: by a record of the newest version, or by a leave message."""
        row = (RecordType.CHANGE_TO_INCLUDE, self.group, 0)
        if by_record:
            frame = self.report(self.host(number), row, mac=mac(number))
        else:
            frame = self.leave(self.host(number), self.group, mac(number))
        fabric.send(port, frame)

    def send_data(self, fabric: Fabric, port: PortRef, group: str | None = None) -> set[PortRef]:
        """A datagram to a group, from a host at a port; returns the edge ports it comes out of."""
        return fabric.send(port, datagram(group or self.group, mac(port[0] * 16 + port[1])))

    def queries(self, fabric: Fabric) -> list[tuple[PortRef, Query]]:
        """The queries that the controller has sent, each with its port."""
        parsed = [
            (port, self.protocol.parse(frame))
            for port, frame in fabric.sent
            if self.protocol.is_message(frame) and frame[6:12] != ROUTER_MAC
        ]
        return [(port, message) for port, message in parsed if isinstance(message, Query)]


def _igmp_report(source: str, *rows: Row, mac: bytes = HOST_MAC) -> bytes:
    return igmp.build_report(source, 3, tuple(Record(*row) for row in rows), mac)


def _igmp_old_report(source: str, group: str, mac: bytes = HOST_MAC) -> bytes:
    return igmp.build_report(source, 2, (Record(RecordType.MODE_IS_EXCLUDE, group, 0),), mac)


def _igmp_query() -> bytes:
    frame = igmp.build_query(None, 10.0, 125, "192.0.2.1")
    return frame[:6] + ROUTER_MAC + frame[12:]


IPV4 = Family(
    protocol=IGMP,
    version=3,
    group="239.1.1.10",
    other_group="239.1.1.11",
    same_mac="239.129.1.10",
    flooded="224.0.0.251",
    all_hosts=ALL_SYSTEMS,
    proxy=IGMP_PROXY_SOURCE,
    unspecified="0.0.0.0",
    router="192.0.2.1",
    host=lambda number: f"192.0.2.{number}",
    report=_igmp_report,
    old_report=_igmp_old_report,
    leave=igmp.build_leave,
    query=_igmp_query,
)
IPV6 = Family(
    protocol=MLD,
    version=2,
    group="ff05::ef01:10a",
    other_group="ff05::ef01:10b",
    same_mac="ff0e::ef01:10a",
    flooded="ff02::fb",
    all_hosts=ALL_NODES,
    proxy=MLD_PROXY_SOURCE,
    unspecified="::",
    router=mld.ROUTER,
    host=mld.address,
    report=mld.report,
    old_report=mld.old_report,
    leave=mld.done,
    query=lambda: mld.query(mac=ROUTER_MAC, mrd=10000),
)
FAMILIES = (IPV4, IPV6)
both_families = pytest.mark.parametrize("family", FAMILIES, ids=str)
