"""The project's VTEP with one fault, which the conformance suite must find.

`python -m tests.support.broken_vtep --fault NAME --config FILE.toml`. Each fault changes one
behaviour of vtep/ and nothing else.
"""

# Faults replace functions and methods of the VTEP on purpose.
# mypy: disable-error-code="method-assign, assignment, attr-defined"

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from scapy.layers.inet import IP, fragment

from tests.support import faults_in, faults_out
from vtep import agent, core, wire
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Effect, ToPort
from vtep.fdb import Fdb
from vtep.launch import launch
from vtep.options import Options
from vtep.segments import Segments
from vtep.underlay.ipv4 import Ipv4Underlay

DF = 0x40


def flag_unchecked() -> None:
    """Accepts packets whose I flag is 0."""
    check = core.check_header

    def lenient(datagram: bytes, strict: bool) -> int | DropReason:
        return check(bytes(b | wire.FLAG_VNI_VALID for b in datagram[:1]) + datagram[1:], strict)

    core.check_header = lenient


def fragments() -> None:
    """Fragments frames that are too big, with DF not set."""
    options, header, send = agent._options, core.outer_header, Ipv4Underlay.send

    def boundless(*arguments: Any) -> Options:
        return dataclasses.replace(options(*arguments), mtu=65_535)

    def without_df(*arguments: Any) -> bytes:
        made = header(*arguments)
        return made[:6] + bytes((made[6] & ~DF,)) + made[7:] if made[0] >> 4 == 4 else made

    def in_pieces(self: Ipv4Underlay, to: str, packet: bytes | bytearray) -> DropReason | None:
        pieces = [packet]
        if len(packet) > self.mtu:
            pieces = [bytes(piece) for piece in fragment(IP(bytes(packet)), self.mtu - 100)]
        return [send(self, to, piece) for piece in pieces][-1]

    agent._options, core.outer_header, Ipv4Underlay.send = boundless, without_df, in_pieces


def fixed_source_port() -> None:
    """Sends all flows from one source port."""
    core.source_port = lambda flow_hash, first, last: first


def refresh_on_transmit() -> None:
    """Refreshes an entry when it sends to it."""
    lookup = Fdb.lookup

    def renewing(self: Fdb, mac: bytes) -> Any:
        row = lookup(self, mac)
        if row is not None:
            row.seen_s = time.monotonic()
        return row

    Fdb.lookup = renewing


def vni_unchecked() -> None:
    """Accepts a VNI that is not configured as the first one."""

    class Lenient(dict[int, Any]):
        def get(self, vni: int, default: Any = None) -> Any:
            return self[vni] if vni in self else next(iter(self.values()), default)

    make = Segments.__init__

    def lenient(self: Segments, *arguments: Any) -> None:
        make(self, *arguments)
        self.by_vni = Lenient()

    Segments.__init__ = lenient


def learns_multicast() -> None:
    """Learns group addresses as sources."""
    core.is_learnable = lambda mac: True


def wrong_checksum() -> None:
    """Sends UDP checksums that are off by one."""
    right = wire._udp_checksum
    wire._udp_checksum = lambda *arguments: right(*arguments) % 0xFFFF + 1


def floods_known_unicast() -> None:
    """Floods frames for a MAC whose VTEP it knows."""
    Core._send = lambda self, segment, row, frame, now: self._flood(segment, frame, now)


def leaks_tags() -> None:
    """Sends the VLAN tag of a VM instead of removing it."""
    right = Core.frame_from_port

    def leaky(self: Core, port: Any, vlan: int | None, frame: bytes, now: float) -> Any:
        segment = self.segments.of_frame(port, vlan)
        if segment is None:
            return right(self, port, vlan, frame, now)
        before, segment.carry_tags = segment.carry_tags, True
        effects = list(right(self, port, vlan, frame, now))
        segment.carry_tags = before
        return effects

    Core.frame_from_port = leaky


def refloods() -> None:
    """Floods frames from the tunnel into the tunnel again."""
    right = Core.datagram_from_underlay

    def looping(self: Core, *arguments: Any) -> Iterable[Effect]:
        effects = list(right(self, *arguments))
        for effect in [each for each in effects if isinstance(each, ToPort)]:
            segment = self.segments.by_vni[effect.vni]
            effects += self._flood(segment, effect.frame, arguments[4])
        return effects

    Core.datagram_from_underlay = looping


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        flag_unchecked,
        fragments,
        fixed_source_port,
        refresh_on_transmit,
        vni_unchecked,
        learns_multicast,
        wrong_checksum,
        floods_known_unicast,
        leaks_tags,
        refloods,
        *faults_out.FAULTS,
        *faults_in.FAULTS,
    )
}


def main() -> int:
    """Apply the fault, then run the VTEP."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", required=True, choices=FAULTS)
    parser.add_argument("--config", required=True)
    arguments = parser.parse_args()
    FAULTS[arguments.fault]()
    return launch(arguments.config, "python")  # the faults are in Python


if __name__ == "__main__":
    sys.exit(main())
