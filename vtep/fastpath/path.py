"""The fast path of one agent: load the programs, share the maps, open the TAPs, attach.

If the agent is killed the programs stay attached and forward by the rows that were learned. The
next agent replaces them by its own, with empty maps. An agent that ends normally detaches them.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from vtep.config import Config
from vtep.constants import LARGEST_PACKET
from vtep.drops import DropReason
from vtep.fastpath import layout, nic, outer
from vtep.fastpath.libbpf import Program
from vtep.fastpath.mirror import KernelMirror, Maps, PortPlace
from vtep.fastpath.table import Table
from vtep.fastpath.tap import PortTap, Tap
from vtep.options import Options
from vtep.ports.packet import PacketPort
from vtep.underlay.base import Datagram, Underlay
from vtep.wire import is_ipv6, overhead

OBJECTS = {  # key: whether the underlay is IPv6
    six: Path(__file__).with_name(f"vxlan{6 if six else 4}.bpf.o") for six in (False, True)
}
LARGEST_TABLE = 1 << 22  # slots; 64 MiB
_REMOTES = 4096
_LEAST_SEGMENTS = 256


class FastPath:
    """The eBPF programs of one agent, their maps, and a TAP for each port and the underlay."""

    def __init__(
        self, config: Config, options: Options, underlay: Underlay, ports: list[PacketPort]
    ) -> None:
        """Load the programs and fill the maps, without attaching; OSError says what failed."""
        self._underlay = underlay
        self._offload = config.underlay.offload
        self._indices = [port.index for port in ports]
        sizes = _sizes(config, self._indices)
        self._program = Program(OBJECTS[is_ipv6(options.local)], sizes)
        self._taps: list[Tap] = []
        try:
            self._taps = [Tap() for _ in range(len(config.ports) + 1)]
        except OSError:
            self.close()
            raise
        *ports_taps, self.misses = self._taps
        self.ports = [PortTap(tap) for tap in ports_taps]
        maps = self._maps(sizes)
        self._configure(maps, options, sizes["ports"])
        places = [
            PortPlace(port.index, port.mtu, nic.leads_elsewhere(port.index)) for port in ports
        ]
        network = nic.network_of(underlay.interface, options.local)

        def on_link(remote: str) -> bool:
            return ip_address(remote) in network

        self.mirror = KernelMirror(maps, places, options.trusted, on_link)

    def _maps(self, sizes: dict[str, int]) -> Maps:
        program = self._program
        multipliers = (secrets.randbits(64) | 1, secrets.randbits(64) | 1)

        def memory(name: str, length: int) -> memoryview:
            return memoryview(program.memory(name, length))[:length]

        return Maps(
            table=Table(
                memory("rows", sizes["rows"] * layout.BUCKET_LENGTH).cast("Q"), multipliers
            ),
            remotes=memory("remotes", sizes["remotes"] * layout.REMOTE.size),
            segments=memory("segments", sizes["segments"] * layout.SEGMENT_LENGTH),
            vlans=memory("vlans", sizes["vlans"] * 8).cast("Q"),
            config=memory(".bss", layout.CONFIG.size),
        )

    def _configure(self, maps: Maps, options: Options, slots: int) -> None:
        first, last = options.source_ports
        layout.CONFIG.pack_into(
            maps.config, 0, *maps.table.multipliers, maps.table.shift, 0,
            layout.ticks(options.ageing_s), self._underlay.index, self.misses.index,
            min(options.mtu, LARGEST_PACKET) - overhead(options.local),
            layout.address(options.local), struct.pack("!H", options.port), first,
            last - first + 1, options.ttl or 0,
            layout.INHERIT if options.dscp is None else options.dscp, options.df, slots,
        )  # fmt: skip
        ports = memoryview(self._program.memory("ports", slots * layout.PORT.size))
        for number, (index, tap) in enumerate(zip(self._indices, self.ports, strict=True)):
            at = index % slots * layout.PORT.size
            layout.PORT.pack_into(ports, at, index, number * layout.VLANS_A_PORT, tap.tap.index)

    def attach(self) -> None:
        """Attach the programs, which start to forward; OSError if the kernel refuses."""
        if not self._offload:
            self._underlay.without_send_offloads()
        for index in self._indices:
            self._program.attach("from_port", index)
        self._program.attach("from_underlay", self._underlay.index)

    def fileno(self) -> int:
        """For selectors: readable when the kernel has left datagrams to the agent."""
        return self.misses.fileno()

    def receive(self) -> Iterator[Datagram | DropReason]:
        """Read the datagrams that the program left to the agent, up to a batch of them."""
        for packet in self.misses.read():
            found = outer.datagram(packet, self._underlay.joined)
            if found is not None:
                yield found

    def overrun(self) -> tuple[int, int]:
        """Underlay packets and port frames lost in full queues since the last call."""
        return self.misses.overrun(), sum(port.tap.overrun() for port in self.ports)

    def close(self) -> None:
        """Detach the programs and remove the TAPs."""
        self._program.close()
        for tap in self._taps:
            tap.close()


def _sizes(config: Config, interfaces: list[int]) -> dict[str, int]:
    """The entries of each map. The table of rows is at most half full, up to LARGEST_TABLE."""
    segments = min(layout.OF_VNI, max(_LEAST_SEGMENTS, 2 * len(config.segments)))
    slots = min(LARGEST_TABLE, 2 * (config.limit + segments))
    return {
        "rows": max(1, 1 << (slots // layout.SLOTS - 1).bit_length()),
        "remotes": _REMOTES,
        "segments": segments,
        "vlans": len(config.ports) * layout.VLANS_A_PORT,
        "ports": layout.slots_of_ports(interfaces),
    }
