"""N VTEP cores on one multicast wire, all in memory, with a clock that tests advance.

The wire carries a packet to the core with its destination address, or to the members of its group.
Nothing arrives before `deliver`. All packets on the wire and all frames written to ports are
recorded in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.frames import mac
from vtep.core import Core
from vtep.drops import Counters, DropReason
from vtep.effects import Decision, Effect, JoinGroup, LeaveGroup, PortId, ToPort, ToUnderlay
from vtep.events import DELIVERED, DROPPED, FLOODED, SENT, Event
from vtep.fdb import Row
from vtep.options import Options
from vtep.reporting import Reporter
from vtep.segments import SegmentSpec

VNI, VLAN, GROUP = 10, 1, "239.1.1.10"
TRUNK = PortId(0)
FATES = (FLOODED, SENT, DELIVERED, DROPPED)


@dataclass(frozen=True)
class OnWire:
    """One packet of the underlay, with its headers."""

    source: str
    destination: str
    vni: int
    sport: int
    packet: bytes

    @property
    def frame(self) -> bytes:
        """The inner frame."""
        return self.packet[36:]


@dataclass(frozen=True)
class Handed:
    """One frame that was written to a port."""

    vtep: int
    vni: int
    vlan: int | None
    frame: bytes


class Fabric:
    """VTEPs 1 to n, with the addresses 192.0.2.11 and up."""

    def __init__(
        self, vteps: int = 3, echo: bool = False, observed: bool = True, **options: Any
    ) -> None:
        """echo: loop multicast back to its sender. options: those of the cores."""
        self.now = 1000.0
        self.cores = {
            number: Core(Options(local=address(number), **options))
            for number in range(1, vteps + 1)
        }
        self.wire: list[OnWire] = []
        self.handed: list[Handed] = []
        self.events: list[tuple[int, Event]] = []
        self.members: dict[str, set[int]] = {}
        self._echo = echo
        self._underway: deque[OnWire] = deque()
        self.reporters = {number: Reporter(core.watch) for number, core in self.cores.items()}
        if observed:
            for number, reporter in self.reporters.items():
                reporter.subscribe(partial(self._note, number))

    # -- verbs

    def carry(
        self,
        vni: int = VNI,
        group: str = GROUP,
        vlan: int | None = VLAN,
        on: Iterable[int] | None = None,
        carry_tags: bool = False,
        suppress_arp: bool = False,
    ) -> Fabric:
        """Add a VNI to some VTEPs, or to all."""
        spec = SegmentSpec(vni, TRUNK, vlan, group, (), carry_tags, suppress_arp)
        for number in on or self.cores:
            self._do(number, self.cores[number].add_segment(spec, self.now))
        return self

    def drop_vni(self, vtep: int, vni: int = VNI) -> None:
        """Remove a VNI from one VTEP."""
        self._do(vtep, self.cores[vtep].remove_segment(vni, self.now))

    def send(self, vtep: int, frame: bytes, vlan: int | None = VLAN) -> None:
        """A VM behind a VTEP sends a frame; the resulting packets wait on the wire."""
        self._do(vtep, self.cores[vtep].frame_from_port(TRUNK, vlan, frame, self.now))

    def deliver(self) -> None:
        """Deliver all packets on the wire; none of them may cause another packet."""
        while self._underway:
            packet = self._underway.popleft()
            for number in self.cores:
                if self._reaches(packet, number):
                    self.inject(number, packet.source, packet.packet[28:], packet)

    def exchange(self, vtep: int, frame: bytes, vlan: int | None = VLAN) -> None:
        """`send`, then `deliver`."""
        self.send(vtep, frame, vlan)
        self.deliver()

    def inject(
        self,
        vtep: int,
        sender: str,
        datagram: bytes,
        packet: OnWire | None = None,
        traffic_class: int = 0,
    ) -> list[Effect]:
        """A UDP datagram arrives at a VTEP: of a packet on the wire, or forged."""
        to_group = packet is not None and packet.destination in self.members
        sport = packet.sport if packet is not None else 50_000
        core = self.cores[vtep]
        decision = core.datagram_from_underlay(
            sender, sport, to_group, datagram, self.now, traffic_class
        )
        effects = list(decision[0])
        assert not [each for each in effects if isinstance(each, ToUnderlay)], "tunnel to tunnel"
        self._do(vtep, decision)
        return effects

    def advance(self, seconds: float) -> None:
        """Advance the clock, and call `expire` of each core at its deadlines."""
        until = self.now + seconds
        while True:
            deadlines = [core.next_deadline() for core in self.cores.values()]
            due = min((each for each in deadlines if each is not None), default=until + 1)
            if due > until:
                break
            self.now = max(self.now, due)
            self._expire()
        self.now = until
        self._expire()

    def _expire(self) -> None:
        for number, core in self.cores.items():
            self.reporters[number].report(core.expire(self.now))

    # -- questions

    def row(self, vtep: int, station: str, vni: int = VNI) -> Row | None:
        """A VTEP's row of a MAC, if there is one."""
        return self.cores[vtep].segments.by_vni[vni].fdb.lookup(mac(station))

    def remote(self, vtep: int, station: str, vni: int = VNI) -> str | None:
        """The remote of a MAC's row, None if it is local; AssertionError if there is no row."""
        row = self.row(vtep, station, vni)
        assert row is not None, f"VTEP {vtep} has no row for {station}"
        return row.remote

    def decisions(self, vtep: int) -> list[str]:
        """A VTEP's decisions so far, as `decision why`."""
        return [f"{event.decision} {event.why}" for number, event in self.events if number == vtep]

    def fates(self, vtep: int) -> list[str]:
        """The fates of a VTEP's frames and datagrams so far."""
        return [event.decision for n, event in self.events if n == vtep and event.decision in FATES]

    def drops(self, vtep: int) -> dict[tuple[int | None, DropReason], int]:
        """A VTEP's drop counters, without zeros, by VNI (None: unassigned) and reason."""
        core = self.cores[vtep]
        tables: dict[int | None, Counters] = {None: core.unassigned_counters}
        tables |= {vni: segment.counters for vni, segment in core.segments.by_vni.items()}
        return {
            (vni, reason): counters.drops[reason]
            for vni, counters in tables.items()
            for reason in DropReason
            if counters.drops[reason]
        }

    # -- inside

    def _note(self, vtep: int, event: Event) -> None:
        self.events.append((vtep, event))

    def _do(self, vtep: int, decision: Decision) -> None:
        fate = self.reporters[vtep].hold(decision)
        for effect in decision[0]:
            if isinstance(effect, ToUnderlay):
                self._underway.append(_on_wire(effect))
                self.wire.append(self._underway[-1])
            elif isinstance(effect, ToPort):
                assert effect.port == TRUNK
                self.handed.append(Handed(vtep, effect.vni, effect.vlan, effect.frame))
            if fate is not None and isinstance(effect, ToPort | ToUnderlay):
                fate.settle(effect, None, self.now)
            if isinstance(effect, JoinGroup):
                members = self.members.setdefault(effect.group, set())
                assert vtep not in members, f"VTEP {vtep} joined {effect.group} twice"
                members.add(vtep)
            elif isinstance(effect, LeaveGroup):
                self.members[effect.group].remove(vtep)

    def _reaches(self, packet: OnWire, vtep: int) -> bool:
        if packet.source == address(vtep) and not self._echo:
            return False
        return packet.destination == address(vtep) or vtep in self.members.get(
            packet.destination, ()
        )


def address(vtep: int) -> str:
    """A VTEP's underlay address."""
    return f"192.0.2.{10 + vtep}"


def _on_wire(effect: ToUnderlay) -> OnWire:
    packet = bytes(effect.packet)
    source, destination = (".".join(map(str, packet[at : at + 4])) for at in (12, 16))
    assert destination == effect.destination
    assert int.from_bytes(packet[2:4], "big") == len(packet)
    vni = int.from_bytes(packet[32:35], "big")
    assert vni == effect.vni
    return OnWire(source, destination, vni, int.from_bytes(packet[20:22], "big"), packet)
