"""Single faults of sending, for `broken_vtep`.

Rules of this file:
- each fault changes one behaviour of vtep/ and leaves everything else as it is;
- if possible it changes an option or a constant, so that the code itself stays as it is.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from scapy.layers.inet import IP

from tests.support.fault_tools import public, replace, with_options
from vtep import agent, core, ecn
from vtep.constants import DEFAULT_TTL, FIRST_SOURCE_PORT, LAST_SOURCE_PORT
from vtep.core import Core
from vtep.effects import Decision
from vtep.fdb import Fdb
from vtep.segments import Segment, SegmentSpec
from vtep.underlay.ipv4 import Ipv4Underlay

_BROADCAST = b"\xff" * 6


def _with_header(change: Callable[[bytearray, str], None]) -> None:
    """Let `change` modify each outer header, given the destination."""

    def changed(build: Any) -> Any:
        def outer_header(source: str, destination: str, *rest: Any) -> bytes:
            header = bytearray(build(source, destination, *rest))
            change(header, destination)
            return bytes(header)

        return outer_header

    replace(core, "outer_header", changed)


def _is_group(destination: str) -> bool:
    return destination.startswith(("239.", "ff"))


def ttl_of_one_to_groups() -> None:
    """Send to groups with the TTL that sockets have for multicast: no router passes it."""

    def change(header: bytearray, destination: str) -> None:
        if _is_group(destination):
            header[8 if header[0] >> 4 == 4 else 7] = 1

    _with_header(change)


def broadcasts_outside() -> None:
    """Send every packet to the broadcast MAC, so that each host receives it."""

    def broadcast(self: Ipv4Underlay, destination: str, packet: bytes) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as card:
            whole = IP(bytes(packet))
            del whole.chksum
            card.sendto(bytes(whole), (self.interface, 0x0800, 0, 0, _BROADCAST))

    replace(Ipv4Underlay, "send", lambda _: broadcast)


def one_group_for_all() -> None:
    """Flood every VNI to the group of the first."""
    groups: list[str] = []

    def misled(make: Any) -> Any:
        def init(self: Segment, spec: SegmentSpec, *arguments: Any) -> None:
            make(self, spec, *arguments)
            if spec.group is not None:
                groups.append(spec.group)
                self.flood_to = (groups[0],)

        return init

    replace(Segment, "__init__", misled)


def sends_a_reserved_bit() -> None:
    """Set a bit of the reserved byte behind the VNI."""

    def change(header: bytearray, _: str) -> None:
        header[-1] |= 1

    _with_header(change)


def sends_a_reserved_flag() -> None:
    """Set the flag that the generic protocol extension calls P."""

    def change(header: bytearray, _: str) -> None:
        header[-8] |= 4

    _with_header(change)


def forgets_a_remote() -> None:
    """Leave the last remote out of a head-end flood."""

    def forgetful(flood: Any) -> Any:
        def flood_to_fewer(self: Core, segment: Any, *arguments: Any) -> Decision:
            effects, events = flood(self, segment, *arguments)
            return effects[:-1] if segment.group is None else effects, events

        return flood_to_fewer

    replace(Core, "_flood", forgetful)


def drops_unknown_unicast() -> None:
    """Flood broadcast and multicast, but drop unknown unicast."""

    def lossy(flood: Any) -> Any:
        def flood_groups(self: Core, segment: Any, frame: bytes, now: float) -> Decision:
            decision: Decision = flood(self, segment, frame, now) if frame[0] & 1 else ((), ())
            return decision

        return flood_groups

    replace(Core, "_flood", lossy)


def source_port_of_macs() -> None:
    """Use one source port for all flows between two VMs."""
    replace(core, "flow_hash", lambda _: lambda frame: sum(frame[:12]) * 40503)


def source_port_a_packet() -> None:
    """Use another source port for each packet, so that the packets of a flow are reordered."""
    numbers = iter(range(1 << 62))
    replace(core, "flow_hash", lambda _: lambda frame: next(numbers) * 7919)


def ignores_source_ports() -> None:
    """Use the default range of source ports, regardless of the configuration."""
    with_options(source_ports=lambda _: (FIRST_SOURCE_PORT, LAST_SOURCE_PORT))


def zero_checksum_over_ipv6() -> None:
    """Send zero checksums over IPv6 although that is not configured."""
    replace(agent, "open_gso_sender", lambda _: lambda *_: None)  # else the kernel computes them
    with_options(udp_checksum=lambda _: False)


def ignores_tos() -> None:
    """Use the default TOS, regardless of the configuration."""
    with_options(dscp=lambda _: 0)


def ignores_ttl() -> None:
    """Use the default TTL, regardless of the configuration."""
    with_options(ttl=lambda _: DEFAULT_TTL)


def ignores_df() -> None:
    """Set DF, regardless of the configuration."""
    with_options(df=lambda _: True)


def ignores_silence() -> None:
    """Send ICMP messages about frames that are too big, regardless of the configuration."""
    with_options(icmp_too_big=lambda _: True)


def one_remote_of_several() -> None:
    """Send all flows to the first of a static row's remotes."""

    def only_first(right: Any) -> Any:
        def set_static(self: Fdb, mac: bytes, remote: str, now: float, add: bool = False) -> None:
            if mac not in self.static_remotes:
                right(self, mac, remote, now, add)

        return set_static

    replace(Fdb, "set_static", only_first)


def cuts_what_does_not_fit() -> None:
    """Send as much of a frame that is too big as fits."""

    def cutting(send: Any) -> Any:
        def send_part(self: Core, segment: Any, row: Any, frame: bytes, now: float) -> Any:
            return send(self, segment, row, frame[: self._largest_frame], now)

        return send_part

    replace(Core, "_send", cutting)


def tells_a_wrong_mtu() -> None:
    """Report the underlay's MTU to VMs, without subtracting the tunnel's overhead."""
    replace(core, "too_big", lambda right: lambda frame, mtu: right(frame, mtu + 50))


def keeps_the_check_sequence() -> None:
    """Send four bytes behind each frame, as if it had a check sequence."""

    def appending(build: Any) -> Any:
        return lambda header, frame, *rest: build(header, frame + bytes(4), *rest)

    replace(core, "encapsulate", appending)


def resets_congestion() -> None:
    """Send every packet as Not-ECT, whatever the ECN field of the inner packet."""

    def outer_class(inner: int | None, dscp: int | None) -> int:
        return (dscp or 0) if dscp is not None else (inner or 0)

    replace(ecn, "outer_class", lambda _: outer_class)


FAULTS = public(dict(vars()))
