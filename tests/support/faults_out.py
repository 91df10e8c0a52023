"""Faults in sending, for `broken_vtep`.

Rules of this file:
- each changes one thing of vtep/ and leaves all else as it is;
- where it can, it changes what an option or a constant says, so that the code it breaks stays.
"""

# Faults replace functions and methods of the VTEP on purpose.
# mypy: disable-error-code="method-assign, assignment, attr-defined"

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from scapy.layers.inet import IP

from tests.support.fault_tools import public, with_options
from vtep import agent, core, wire
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Effect
from vtep.fdb import Fdb
from vtep.segments import Carried, Segment
from vtep.underlay.ipv4 import Ipv4Underlay

_BROADCAST = b"\xff" * 6


def _with_header(change: Callable[[bytearray, str], None]) -> None:
    """Change the headers before each inner frame; `change` gets the destination."""
    build = core.outer_header

    def changed(source: str, destination: str, *rest: Any) -> bytes:
        header = bytearray(build(source, destination, *rest))
        change(header, destination)
        return bytes(header)

    core.outer_header = changed


def _is_group(destination: str) -> bool:
    return destination.startswith(("239.", "ff"))


def ttl_of_one_to_groups() -> None:
    """Sends to groups with TTL 1, the default of multicast sockets: no router forwards it."""

    def change(header: bytearray, destination: str) -> None:
        if _is_group(destination):
            header[8 if header[0] >> 4 == 4 else 7] = 1

    _with_header(change)


def broadcasts_outside() -> None:
    """Sends every packet to the broadcast MAC, so every host receives it."""

    def broadcasting(self: Ipv4Underlay, destination: str, packet: bytes) -> DropReason | None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as card:
            whole = IP(bytes(packet))
            del whole.chksum
            card.sendto(bytes(whole), (self.interface, 0x0800, 0, 0, _BROADCAST))
        return None

    Ipv4Underlay.send = broadcasting


def one_group_for_all() -> None:
    """Floods every VNI to the group of the first VNI."""
    make, groups = Segment.__init__, []

    def misled(self: Segment, carried: Carried, *arguments: Any) -> None:
        make(self, carried, *arguments)
        if carried.group is not None:
            groups.append(carried.group)
            self.flood_to = (groups[0],)

    Segment.__init__ = misled


def sends_a_reserved_bit() -> None:
    """Sets a reserved bit after the VNI."""

    def change(header: bytearray, _: str) -> None:
        header[-1] |= 1

    _with_header(change)


def sends_a_reserved_flag() -> None:
    """Sets the P flag of the generic protocol extension (VXLAN-GPE)."""

    def change(header: bytearray, _: str) -> None:
        header[-8] |= 4

    _with_header(change)


def forgets_a_remote() -> None:
    """Omits the last remote when it floods to a list."""
    flood = Core._flood

    def forgetful(self: Core, segment: Any, *arguments: Any) -> Iterable[Effect]:
        effects = list(flood(self, segment, *arguments))
        return effects[:-1] if segment.group is None else effects

    Core._flood = forgetful


def drops_unknown_unicast() -> None:
    """Floods broadcast and multicast, but drops unknown unicast."""
    flood = Core._flood

    def lossy(self: Core, segment: Any, frame: bytes, now: float) -> Iterable[Effect]:
        return flood(self, segment, frame, now) if frame[0] & 1 else ()

    Core._flood = lossy


def source_port_of_macs() -> None:
    """Uses one source port for all flows between two VMs."""
    core.flow_hash = lambda frame: sum(frame[:12]) * 40503


def source_port_a_packet() -> None:
    """Uses a new source port for each packet, so that packets of a flow can be reordered."""
    numbers = iter(range(1 << 62))
    core.flow_hash = lambda frame: next(numbers) * 7919


def ignores_source_ports() -> None:
    """Ignores the configured source port range."""
    with_options(source_ports=lambda _: (wire.FIRST_SOURCE_PORT, wire.LAST_SOURCE_PORT))


def zero_checksum_over_ipv6() -> None:
    """Sends no checksum over IPv6, although this is not configured."""
    agent._segmenting = lambda *_: None  # else the kernel computes what the core does not
    with_options(udp_checksum=lambda _: False)


def ignores_tos() -> None:
    """Ignores the configured TOS."""
    with_options(dscp=lambda _: 0)


def ignores_ttl() -> None:
    """Ignores the configured TTL."""
    with_options(ttl=lambda _: 64)


def ignores_df() -> None:
    """Ignores the configured DF."""
    with_options(df=lambda _: True)


def ignores_silence() -> None:
    """Sends ICMP errors to VMs although they are disabled."""
    with_options(icmp_too_big=lambda _: True)


def one_remote_of_several() -> None:
    """Sends all flows to the first remote of a static entry."""
    right = Fdb.set_static

    def only_once(self: Fdb, mac: bytes, remote: str, now: float, add: bool = False) -> None:
        if mac not in self.static_remotes:
            right(self, mac, remote, now, add)

    Fdb.set_static = only_once


def cuts_what_does_not_fit() -> None:
    """Truncates frames that are too big."""
    send = Core._send

    def cutting(self: Core, segment: Any, row: Any, frame: bytes, now: float) -> Any:
        return send(self, segment, row, frame[: self._largest_frame], now)

    Core._send = cutting


def tells_a_wrong_mtu() -> None:
    """Reports the underlay's MTU to VMs, without subtracting the tunnel headers."""
    right = core.too_big
    core.too_big = lambda frame, mtu: right(frame, mtu + 50)


def keeps_the_check_sequence() -> None:
    """Sends four bytes after each frame, as if it had an FCS."""
    build = core.encapsulate
    core.encapsulate = lambda header, frame, *rest: build(header, frame + bytes(4), *rest)


def resets_congestion() -> None:
    """Sends every packet as Not-ECT, independent of the inner packet."""
    core.ecn.outer_class = lambda inner, dscp: (dscp or 0) if dscp is not None else (inner or 0)


FAULTS = public(dict(vars()))
