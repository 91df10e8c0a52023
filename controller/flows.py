"""The types that decisions are made of: flows, frames to send, log lines.

A `Flow` describes one entry of one switch without any OpenFlow library. Its actions are plain data:
the ports to output to (with the reserved `CONTROLLER` and `FLOOD`) and the next table, if any.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

PortRef = tuple[int, int]  # a port of the underlay: switch (dpid) and port number

Masked = tuple[bytes, bytes]  # MAC address and mask
Prefix = tuple[str, str]  # IP address and mask, both in their canonical text


class Kind(IntEnum):
    """What a flow is for; part of the cookie, by which a restarted controller knows its flows."""

    BASE = 1
    HOST_SOURCE = 2
    HOST_DESTINATION = 3
    GROUP = 4
    ROUTERS = 5


_COOKIE_MARK = 0x76786C6162000000  # "vxlab" in ASCII; the low three bytes hold the kind
_COOKIE_MASK = 0xFFFFFFFFFF000000


def cookie_of(kind: Kind) -> int:
    """The 64-bit cookie of the controller's flows of this kind."""
    return _COOKIE_MARK | kind


def kind_of(cookie: int) -> Kind | None:
    """The kind that a cookie holds; None if the controller did not install the flow."""
    if cookie & _COOKIE_MASK != _COOKIE_MARK:
        return None
    low = cookie & ~_COOKIE_MASK
    return Kind(low) if low in Kind.__members__.values() else None


@dataclass(frozen=True)
class Match:
    """The fields that a frame is compared with; None matches everything."""

    in_port: int | None = None
    eth_dst: Masked | None = None
    eth_src: Masked | None = None
    eth_type: int | None = None
    ip_proto: int | None = None
    ipv4_dst: Prefix | None = None
    ipv6_dst: Prefix | None = None
    icmpv6_type: int | None = None


@dataclass(frozen=True)
class Flow:
    """One flow entry; `kind` is None for an entry that the controller did not install."""

    table: int
    priority: int
    match: Match
    kind: Kind | None
    outputs: tuple[int, ...] = ()
    goto: int | None = None
    idle_timeout_s: int = 0
    notify: bool = False

    @property
    def key(self) -> FlowKey:
        """The identity of an entry: a new one replaces that of the same key (OpenFlow 1.3, 6.4)."""
        return (self.table, self.priority, self.match)


FlowKey = tuple[int, int, Match]


@dataclass(frozen=True)
class SetFlow:
    """Install this flow on the switch; it replaces the entry of the same key."""

    dpid: int
    flow: Flow


@dataclass(frozen=True)
class DeleteFlow:
    """Remove exactly this entry."""

    dpid: int
    flow: Flow


@dataclass(frozen=True)
class SendFrame:
    """Send a frame out of these ports of a switch."""

    dpid: int
    ports: tuple[int, ...]
    frame: bytes


@dataclass(frozen=True)
class Notice:
    """One line for the log."""

    text: str


Effect: TypeAlias = "SetFlow | DeleteFlow | SendFrame | Notice"


def mac_text(mac: bytes) -> str:
    """A MAC address in the usual form with colons."""
    return mac.hex(":")
