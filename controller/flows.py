"""The words between decisions and switches: flows, frames to send, and what may be asked for.

A `Flow` says what one entry of one switch should be; it knows no OpenFlow library. Actions are kept
as plain data: ports to output to (with `CONTROLLER` and `FLOOD` as reserved ones) and whether
the next table is consulted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

FLOOD = 0xFFFFFFFB  # OFPP_FLOOD: every port but the ingress one
CONTROLLER = 0xFFFFFFFD  # OFPP_CONTROLLER
EXACT_IPV4, EXACT_IPV6 = "255.255.255.255", ":".join(["ffff"] * 8)  # masks of one address
LAST_PHYSICAL_PORT = 0xFFFFFF00  # OFPP_MAX; reserved ports lie above

Masked = tuple[bytes, bytes]  # address and mask
Prefix = tuple[str, str]  # IP address and mask, both in their canonical text


class Kind(IntEnum):
    """What a flow is for; kept in its cookie, so that a controller that returns knows its own."""

    BASE = 1
    HOST_SOURCE = 2
    HOST_DESTINATION = 3
    GROUP = 4
    ROUTERS = 5


_COOKIE_MARK = 0x76786C6162000000  # "vxlab"; the low three bytes say the kind
_COOKIE_MASK = 0xFFFFFFFFFF000000


def cookie_of(kind: Kind) -> int:
    """The 64-bit cookie that our flows of this kind bear."""
    return _COOKIE_MARK | kind


def kind_of(cookie: int) -> Kind | None:
    """The kind a cookie tells, None for a flow that is not ours."""
    if cookie & _COOKIE_MASK != _COOKIE_MARK:
        return None
    low = cookie & ~_COOKIE_MASK
    return Kind(low) if low in Kind.__members__.values() else None


@dataclass(frozen=True)
class Match:
    """What a frame must look like; None stands for any."""

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
    """One flow entry; `kind` None marks one that somebody else put there."""

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
        """What makes an entry one and the same to a switch."""
        return (self.table, self.priority, self.match)


FlowKey = tuple[int, int, Match]


@dataclass(frozen=True)
class SetFlow:
    """Put this flow into the switch, replacing the entry of the same key."""

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
