"""Our VTEP with one fault, for testing whether the conformance suite finds it.

`python -m tests.support.broken_vtep --fault NAME --config FILE.toml`. Each fault changes one
behaviour of vtep/ and leaves everything else as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

from scapy.layers.inet import IP, fragment

from tests.support import faults_in, faults_out
from tests.support.fault_tools import replace
from vtep import agent, core, wire
from vtep.constants import FLAG_VNI_VALID, LARGEST_PACKET
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Decision, ToPort
from vtep.fdb import Fdb
from vtep.launch import launch
from vtep.options import Options
from vtep.segments import Segments
from vtep.underlay.ipv4 import Ipv4Underlay

DF = 0x40


def flag_unchecked() -> None:
    """Accept packets whose I flag is 0."""

    def lenient(check: Any) -> Any:
        def with_flag(datagram: bytes, strict: bool) -> Any:
            return check(bytes(b | FLAG_VNI_VALID for b in datagram[:1]) + datagram[1:], strict)

        return with_flag

    replace(core, "check_header", lenient)


def fragments() -> None:
    """Send packets that do not fit in fragments, with DF clear."""

    def boundless(options: Any) -> Any:
        def without_mtu(*arguments: Any) -> Options:
            found: Options = options(*arguments)
            return dataclasses.replace(found, mtu=LARGEST_PACKET)

        return without_mtu

    def without_df(header: Any) -> Any:
        def cleared(*arguments: Any) -> Any:
            made = header(*arguments)
            is_ipv4 = made[0] >> 4 == 4
            return made[:6] + bytes((made[6] & ~DF,)) + made[7:] if is_ipv4 else made

        return cleared

    def in_pieces(send: Any) -> Any:
        def send_all(self: Ipv4Underlay, to: str, packet: bytes | bytearray) -> DropReason | None:
            pieces = [packet]
            if len(packet) > self.mtu:
                pieces = [bytes(piece) for piece in fragment(IP(bytes(packet)), self.mtu - 100)]
            results: list[DropReason | None] = [send(self, to, piece) for piece in pieces]
            return results[-1]

        return send_all

    replace(agent, "_options", boundless)
    replace(core, "outer_header", without_df)
    replace(Ipv4Underlay, "send", in_pieces)


def fixed_source_port() -> None:
    """Send all flows from one source port."""
    replace(core, "source_port", lambda _: lambda flow_hash, first, last: first)


def refresh_on_transmit() -> None:
    """Refresh a row when a frame is sent to it."""

    def renewing(lookup: Any) -> Any:
        def renew(self: Fdb, mac: bytes) -> Any:
            row = lookup(self, mac)
            if row is not None:
                row.seen_s = time.monotonic()
            return row

        return renew

    replace(Fdb, "lookup", renewing)


def vni_unchecked() -> None:
    """Treat an unknown VNI as the first known one."""

    class Lenient(dict[int, Any]):
        def get(self, vni: int, default: Any = None) -> Any:
            return self[vni] if vni in self else next(iter(self.values()), default)

    def lenient(make: Any) -> Any:
        def init(self: Segments, *arguments: Any) -> None:
            make(self, *arguments)
            self.by_vni = Lenient()

        return init

    replace(Segments, "__init__", lenient)


def learns_multicast() -> None:
    """Learn group addresses as sources."""
    replace(core, "is_learnable", lambda _: lambda mac: True)


def wrong_checksum() -> None:
    """Send UDP checksums that are off by one."""
    replace(wire, "_udp_checksum", lambda right: lambda *arguments: right(*arguments) % 0xFFFF + 1)


def floods_known_unicast() -> None:
    """Flood frames to a MAC whose VTEP is known."""

    def flood(self: Core, segment: Any, row: Any, frame: bytes, now: float) -> Decision:
        return self._flood(segment, frame, now)

    replace(Core, "_send", lambda _: flood)


def leaks_tags() -> None:
    """Send a VM's tag into the tunnel instead of stripping it."""

    def leaky(right: Any) -> Any:
        def decide(self: Core, port: Any, vlan: int | None, frame: bytes, now: float) -> Any:
            segment = self.segments.of_frame(port, vlan)
            if segment is None:
                return right(self, port, vlan, frame, now)
            before, segment.carry_tags = segment.carry_tags, True
            decision = right(self, port, vlan, frame, now)
            segment.carry_tags = before
            return decision

        return decide

    replace(Core, "frame_from_port", leaky)


def refloods() -> None:
    """Flood frames from the tunnel back into the tunnel."""

    def looping(right: Any) -> Any:
        def decide(self: Core, *arguments: Any) -> Decision:
            effects, events = right(self, *arguments)
            effects = list(effects)
            for effect in [each for each in effects if isinstance(each, ToPort)]:
                segment = self.segments.by_vni[effect.vni]
                effects += self._flood(segment, effect.frame, arguments[4])[0]
            return effects, events

        return decide

    replace(Core, "datagram_from_underlay", looping)


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
    """Install the fault, then run the agent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", required=True, choices=FAULTS)
    parser.add_argument("--config", required=True)
    arguments = parser.parse_args()
    FAULTS[arguments.fault]()
    return launch(arguments.config, "python")  # the faults are in Python


if __name__ == "__main__":
    sys.exit(main())
