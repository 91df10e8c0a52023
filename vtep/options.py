"""The options of the core."""

from __future__ import annotations

from dataclasses import dataclass

from vtep.constants import (
    DEFAULT_AGEING_S,
    DEFAULT_MAC_LIMIT,
    DEFAULT_TTL,
    FIRST_SOURCE_PORT,
    LARGEST_PACKET,
    LAST_SOURCE_PORT,
    VXLAN_PORT,
)


@dataclass(frozen=True)
class Options:
    """How a VTEP behaves; `vtep.config` documents each option."""

    local: str
    port: int = VXLAN_PORT
    ttl: int | None = DEFAULT_TTL  # None: copy the inner packet's
    dscp: int | None = 0  # as in the octet, so a multiple of 4; None: copy the inner packet's
    df: bool = True
    icmp_too_big: bool = True
    trusted: frozenset[str] = frozenset()  # accept packets of these remotes only; empty: of all
    udp_checksum: bool = False  # RFC 8200 section 8.1 requires it over IPv6
    source_ports: tuple[int, int] = (FIRST_SOURCE_PORT, LAST_SOURCE_PORT)
    strict: bool = False
    ageing_s: float = DEFAULT_AGEING_S
    limit: int = DEFAULT_MAC_LIMIT
    mtu: int = LARGEST_PACKET  # of the underlay interface, in bytes
