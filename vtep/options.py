"""How a VTEP behaves, in the core's words."""

from __future__ import annotations

from dataclasses import dataclass

from vtep.wire import FIRST_SOURCE_PORT, LARGEST_PACKET, LAST_SOURCE_PORT, PORT


@dataclass(frozen=True)
class Options:
    """How a VTEP behaves; the defaults are the project's, documented in `vtep.config`."""

    local: str
    port: int = PORT
    ttl: int | None = 64  # None: the inner packet's
    dscp: int | None = 0  # of the outer header, in its place in the octet; None: the inner packet's
    df: bool = True
    icmp_too_big: bool = True
    trusted: frozenset[str] = frozenset()  # remotes whose packets are accepted; empty: all
    udp_checksum: bool = False  # RFC 8200 section 8.1 asks for it over IPv6
    source_ports: tuple[int, int] = (FIRST_SOURCE_PORT, LAST_SOURCE_PORT)
    strict: bool = False
    ageing_s: float = 300.0
    limit: int = 65_536
    mtu: int = LARGEST_PACKET  # of the underlay interface; nothing larger is sent
