"""Random traffic for a VTEP under test, in batches whose outcome does not depend on timing.

In a VTEP with two data paths, a frame of a known flow may overtake a frame that must be learned
from first. Within a batch a MAC is therefore either a source, always from one place, or a
destination: rows learned from a batch do not influence the same batch.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from vxlab.conformance import frames
from vxlab.conformance.testbed import TestBed

STRANGER4, STRANGER6 = "192.0.2.77", "2001:db8::77"  # a VTEP that is not configured anywhere
UNKNOWN_VNI = 4_242
_STATIONS = 16
_MOVES = 0.1  # how often something moves
_SIZES_THAT_FIT: tuple[int, ...] = (46, 64, 200, 1000, 1486, 1487, 1500)
_SIZES: tuple[int, ...] = (*_SIZES_THAT_FIT, 1501, 1518, 1600)


class Batch(NamedTuple):
    """Frames at the port, or packets at the underlay."""

    port: list[bytes]
    underlay: list[bytes]


class Traffic:
    """Batches of frames or packets, the same ones for the same seed."""

    def __init__(self, seed: int, bed: TestBed) -> None:
        """bed: defines the addresses; the traffic is valid for every test bed of the same setup."""
        self.random = Random(seed)
        self._bed = bed
        self._stranger = STRANGER6 if bed.setup.ipv6 else STRANGER4
        stations = [f"02:aa:00:00:00:{number:02x}" for number in range(_STATIONS)]
        self._homes = {
            station: None if number % 2 else bed.remotes[number // 2 % len(bed.remotes)]
            for number, station in enumerate(stations)
        }

    def batch(self, length: int) -> Batch:
        """The next batch, of `length` frames or packets."""
        from_vms = self.random.random() < 0.5
        sources, destinations = self._split(from_vms)
        if from_vms:
            self._sizes: tuple[int, ...] = _SIZES
            frames = [self._frame_of_vm(sources, destinations) for _ in range(length)]
            return Batch(port=frames, underlay=[])
        self._sizes = _SIZES_THAT_FIT
        places = {source: self._place(source) for source in sources}
        packets = [self._packet(places, destinations) for _ in range(length)]
        return Batch(port=[], underlay=packets)

    def _split(self, from_vms: bool) -> tuple[list[str], list[str]]:
        """Sources, of which one now and then moves away from home, and destinations."""
        sources = [each for each, home in self._homes.items() if (home is None) == from_vms]
        destinations = [each for each in self._homes if each not in sources]
        self.random.shuffle(sources)
        if self.random.random() < _MOVES:
            sources.append(destinations.pop(self.random.randrange(len(destinations))))
        return sources, destinations + [sources.pop()]

    # -- from VMs

    def _frame_of_vm(self, sources: list[str], destinations: list[str]) -> bytes:
        vlan = self.random.choice([segment.vlan for segment in self._bed.segments])
        made = self._inner(sources, destinations)
        if self.random.random() < 0.05:
            made = frames.tagged(made, 7)  # an inner tag of the VM
        if self.random.random() < 0.05:
            vlan = self.random.choice([None, 99])  # in no segment
        return frames.tagged(made, vlan)

    def _inner(self, sources: list[str], destinations: list[str]) -> bytes:
        choice = self.random.choice
        source = choice(sources)
        to = choice(destinations) if self.random.random() < 0.85 else choice(_GROUPS)
        if self.random.random() < 0.02:
            source = choice(("00:00:00:00:00:00", "03:00:00:00:00:01"))
        make: Callable[[str, str], bytes] = choice((self._udp, self._udp, self._udp, self._odd))
        return make(source, to)

    def _udp(self, source: str, to: str) -> bytes:
        ipv6 = self.random.random() < 0.3
        flags = self.random.choice(("", "DF"))
        return frames.ip_frame(
            source, to, max(48 if ipv6 else 28, self.random.choice(self._sizes)),
            self.random.randrange(256), ipv6, flags, sport=self.random.randrange(1, 65536),
        )  # fmt: skip

    def _odd(self, source: str, to: str) -> bytes:
        """A frame whose length matches no header, or that does not carry IP."""
        kind = self.random.random()
        if kind < 0.3:
            return frames.arp_request(source)
        if kind < 0.6:
            return frames.frame(source, to, self.random.randbytes(50))
        ethertype = self.random.choice((0x0800, 0x86DD))
        return frames.frame(source, to, self.random.randbytes(60), ethertype)

    # -- from the underlay

    def _place(self, source: str) -> str:
        home = self._homes[source]
        if home is None or self.random.random() < _MOVES:
            return self.random.choice((*self._bed.remotes, self._stranger))
        return home

    def _packet(self, places: dict[str, str], destinations: list[str]) -> bytes:
        source = self.random.choice(list(places))
        inner = self._inner([source], destinations)
        segment = self.random.choice(self._bed.segments)
        to = segment.group if self.random.random() < 0.2 else None
        outer = self._bed.packets.outer(
            to=to,
            source=places[source],
            source_port=self.random.randrange(1, 65536),
            tos=self.random.randrange(256) if self.random.random() < 0.5 else 0,
            udp_checksum=self.random.choice((0, 0, 0, None)),
        )
        return outer.packet(self._header(segment.vni) + inner)

    def _header(self, vni: int) -> bytes:
        kind = self.random.random()
        if kind < 0.04:
            return frames.vxlan_header(vni, flags=self.random.randrange(256))
        if kind < 0.08:
            return frames.vxlan_header(vni, last=self.random.randrange(256))
        if kind < 0.11:
            return frames.vxlan_header(UNKNOWN_VNI)
        if kind < 0.13:
            return self.random.randbytes(self.random.randrange(8))
        return frames.vxlan_header(vni)


_GROUPS = (frames.BROADCAST, "01:00:5e:00:00:fb", "33:33:00:00:00:01", "02:ee:00:00:00:99")
