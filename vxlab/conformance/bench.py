"""The test bench: one VTEP between a VM port and an underlay port, both in our hands.

Rules of this file:
- what was sent is followed by a fence, a frame that any VTEP must pass. What did not come before
  the fence came through will not come: no row waits for a time to pass;
- both directions get a fence, so that what is turned back is seen as well;
- no opinion of any other VTEP: packets are made and read by `frames.py`;
- the VTEP's own word (its control socket) is asked only where a row says so.
"""

from __future__ import annotations

import itertools
import select
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vxlab.capture.packets import OUTBOUND, Capture, CapturedPacket
from vxlab.conformance import frames
from vxlab.conformance.answers import answer
from vxlab.conformance.candidate import Candidate
from vxlab.conformance.frames import Carried, Outer
from vxlab.conformance.igmp_reports import reports
from vxlab.conformance.process import DidNotStart, VtepProcess
from vxlab.conformance.setups import OTHER_OWN4, Segment, Setup
from vxlab.conformance.verdict import Deviation, Hidden, Packet
from vxlab.conformance.wiring import Wires
from vxlab.control import rpc
from vxlab.errors import LabError

_STARTS_WITHIN_S = 20.0
_FENCE_S = 1.5
_TRY_EVERY_S = 0.05
_EVIDENCE = 6  # packets shown for a deviation

_FENCE_OUT, _FENCE_IN = "02:4c:fe:00:00:0a", "02:57:fe:00:00:0b"
_FENCE_MARK = b"\x88\xb5vxlab fence "


@dataclass
class Seen:
    """What came of an exchange: the VTEP's frames at the VM port and packets at the underlay."""

    udp_port: int
    sent: list[Packet] = field(default_factory=list)
    port: list[bytes] = field(default_factory=list)
    underlay: list[bytes] = field(default_factory=list)
    counted: str | None = None  # drop reasons that went up, where asked and shown

    @property
    def tunnel(self) -> list[Carried]:
        """The VXLAN packets among those at the underlay."""
        read = (frames.carried(packet, self.udp_port) for packet in self.underlay)
        return [packet for packet in read if packet and not _is_noise(packet.inner)]

    @property
    def fragments(self) -> list[bytes]:
        """Pieces of IP packets at the underlay."""
        return [packet for packet in self.underlay if frames.is_fragment(frames.untagged(packet))]

    def evidence(self) -> list[Packet]:
        """Some of what went in and what came out."""
        out = [Packet("from the underlay port", packet) for packet in self.underlay]
        back = [Packet("from the VM port", frame) for frame in self.port]
        return self.sent[:_EVIDENCE] + (out + back)[:_EVIDENCE]

    def claim(self, holds: object, text: str) -> None:
        """Deviation with these packets unless it holds."""
        if not holds:
            raise Deviation(text, self.evidence())


def _is_noise(frame: bytes) -> bool:
    """Housekeeping of an interface that the VTEP made for itself: IGMP, MLD, ND and the like."""
    plain = frames.untagged(frame)
    if plain[12:14] == b"\x86\xdd":
        return plain[22:24] in (b"\xfe\x80", b"\0\0")
    return plain[12:14] == b"\x08\x00" and plain[23:24] == b"\x02"


class Bench:
    """A running VTEP and the two wires that end at it."""

    def __init__(
        self, setup: Setup, candidate: Candidate, directory: Path,
        watch: Callable[[CapturedPacket], None],
    ) -> None:  # fmt: skip
        """Start the VTEP and wait until it forwards; DidNotStart says why it does not.

        directory: for configuration, log and control socket. watch: is shown every packet of
        all wires.
        """
        self.setup = setup
        self.multicast, self.trunk = candidate.multicast, candidate.trunk
        self.kept: dict[str, Any] = {}  # what one row has found out for others
        self.broken = False  # a row has ended the VTEP, or made it deaf
        self._watch = watch
        self._fences = itertools.count(1)
        self._macs = itertools.count(1)
        self.heard: list[bytes] = []  # all membership reports since the start
        self._returned: dict[int, int] = {}  # fence -> copies that came back
        self._fenced: Packet  # the fence that was sent last
        self._answered = False
        self._seen = Seen(setup.port)
        self.wires = Wires(setup, self.trunk)
        self.control = directory / f"{self.wires.name}.sock"
        config = directory / f"{self.wires.name}.toml"
        config.write_text(setup.text(str(self.control), self.multicast, self.trunk))
        try:
            self.process = VtepProcess(self.wires.inside(*candidate.command), config)
            self._await_forwarding()
        except LabError:
            self.close()
            raise
        self._meet_the_remotes()

    def close(self) -> None:
        """End the VTEP and take the wires away."""
        if hasattr(self, "process"):
            self.process.end()
        self.wires.close()

    @property
    def usable(self) -> bool:
        """Whether another row can be judged with it."""
        return not self.broken and self.process.status is None

    def ask_to_end(self) -> None:
        """Tell the VTEP to end in order; the next row gets a new one."""
        self.broken = True
        self.process.ask_to_end()

    # -- names of things

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of the configuration."""
        return self.setup.segments

    @property
    def remotes(self) -> tuple[str, ...]:
        """The remote VTEPs that the bench plays."""
        return self.setup.remotes

    @property
    def flood_copies(self) -> int:
        """How many packets one flooded frame becomes."""
        return 1 if self.multicast else len(self.remotes)

    def fresh_mac(self, where: int = 0x4C) -> str:
        """A MAC that no row has used."""
        number = next(self._macs).to_bytes(3, "big").hex(":")
        return f"02:{where:02x}:00:{number}"

    def outer(self, remote: int = 0, to: str | None = None, **fields: Any) -> Outer:
        """Outer headers from one of the remotes to the VTEP, or to a group; fields as of Outer."""
        if self.setup.ipv6:
            fields.setdefault("udp_checksum", None)
        given = {
            "source": self.remotes[remote],
            "destination": to or self.setup.own,
            "port": self.setup.port,
            "own_mac": self.wires.own_mac,
            "vlan": self.setup.vlan,
        }
        return Outer(**{**given, **fields})

    def packet(self, inner: bytes, vni: int | None = None, **fields: Any) -> bytes:
        """A right VXLAN packet around an inner frame; vni None means the first segment."""
        number = self.segments[0].vni if vni is None else vni
        return self.outer(**fields).packet(frames.vxlan_header(number) + inner)

    # -- exchange

    def from_vm(self, *made: bytes, segment: int = 0, count: bool = False) -> Seen:
        """Send untagged frames at the VM port, in a segment's VLAN; what came of it."""
        vlan = self.segments[segment].vlan
        return self.exchange(port=[frames.tagged(each, vlan) for each in made], count=count)

    def from_remote(self, *packets: bytes, count: bool = False) -> Seen:
        """Send packets at the underlay port; what came of it."""
        return self.exchange(underlay=packets, count=count)

    def exchange(
        self, port: Sequence[bytes] = (), underlay: Sequence[bytes] = (), count: bool = False
    ) -> Seen:
        """Send at one of the ports, and collect until the fences of both directions are through.

        count: ask for the drop counters before and after. Deviation if the VTEP ends or no
        longer forwards.
        """
        before = self._drops() if count else None
        self._seen = seen = Seen(self.setup.port)
        for frame in port:
            seen.sent.append(Packet("to the VM port", frame))
            self._send_frame(frame)
        for packet in underlay:
            seen.sent.append(Packet("to the underlay port", packet))
            self._send(self.wires.underlay, packet)
        for fence in (
            (self._fence_in, self._fence_out) if underlay else (self._fence_out, self._fence_in)
        ):
            self._pass_fence(fence)
        if before is not None:
            seen.counted = _risen(before, self._drops() or {})
        return seen

    def _send_frame(self, frame: bytes) -> None:
        """Send at the VM port; where segments have ports of their own, at that of the tag."""
        if self.trunk:
            self._send(self.wires.vms[0], frame)
            return
        plain = frames.untagged(frame)
        vlan = int.from_bytes(frame[14:16], "big") & 0x0FFF if plain is not frame else None
        vlans = [segment.vlan for segment in self.segments]
        if vlans == [None]:
            self._send(self.wires.vms[0], frame)
        elif vlan in vlans:
            self._send(self.wires.vms[vlans.index(vlan)], plain)
        else:
            raise Hidden("each segment has an untagged port of its own: there is no other VLAN")

    def _send(self, capture: Capture, data: bytes) -> None:
        capture.send(data)  # a capture does not see what it sends itself
        self._watch(CapturedPacket(time.time_ns(), capture.node, capture.interface, OUTBOUND, data))

    def listen(self, seconds: float, until: Callable[[Seen], object] | None = None) -> Seen:
        """Collect for a time, or until something is seen; for what the VTEP does by itself."""
        self._seen = seen = Seen(self.setup.port)
        self._collect(seconds, lambda: until is not None and bool(until(seen)))
        return seen

    def _collect(self, seconds: float, done: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        poller = select.poll()
        captures = {
            capture.socket.fileno(): capture for capture in (*self.wires.vms, self.wires.underlay)
        }
        for fd in captures:
            poller.register(fd, select.POLLIN)
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for fd, _ in poller.poll(left * 1000):
                self._read(captures[fd])
        return True

    def _read(self, capture: Capture) -> None:
        for captured in capture.read():
            self._watch(captured)
            if capture is self.wires.underlay:
                self._take_packet(captured.data)
            else:
                self._take_frame(captured.data, self.wires.vms.index(capture))

    def _take_frame(self, frame: bytes, port: int) -> None:
        if self._is_fence(frame, _FENCE_IN) or _is_noise(frame):
            return
        vlan = None if self.trunk else self.segments[port].vlan
        self._seen.port.append(frames.tagged(frame, vlan))

    def _take_packet(self, packet: bytes) -> None:
        reply = answer(packet, frozenset((self.setup.own, OTHER_OWN4)))
        if reply is not None:
            self._send(self.wires.underlay, reply)
            self._answered = True
        elif not self._is_fence(packet, _FENCE_OUT):
            self._seen.underlay.append(packet)
            if reports([packet]):
                self.heard.append(packet)

    # -- fences

    def _is_fence(self, data: bytes, of: str) -> bool:
        """Whether it is a fence; one that came where it should is noted."""
        before, mark, rest = data.partition(_FENCE_MARK)
        if mark and bytes.fromhex(of.replace(":", "")) in before:
            number = int.from_bytes(rest[:4], "big")
            self._returned[number] = self._returned.get(number, 0) + 1
        return bool(mark)

    def _fence(self, source: str) -> tuple[int, bytes]:
        number = next(self._fences)
        body = _FENCE_MARK[2:] + number.to_bytes(4, "big")
        return number, frames.frame(source, frames.BROADCAST, body)

    def _fence_out(self) -> Callable[[], bool]:
        """Send one from the VM port; answers whether it is through."""
        number, frame = self._fence(_FENCE_OUT)
        made = frames.tagged(frame, self.segments[0].vlan)
        self._send_frame(made)
        self._fenced = Packet("to the VM port", made)
        return lambda: self._returned.get(number, 0) >= self.flood_copies

    def _fence_in(self) -> Callable[[], bool]:
        """Send one from the underlay; answers whether it is through."""
        number, frame = self._fence(_FENCE_IN)
        packet = self.packet(frame)
        self._send(self.wires.underlay, packet)
        self._fenced = Packet("to the underlay port", packet)
        return lambda: self._returned.get(number, 0) >= 1

    def _pass_fence(self, send: Callable[[], Callable[[], bool]]) -> None:
        """See a fence through; again if a packet may have been waiting for an address."""
        for _ in range(3):
            self._answered = False
            through = self._collect(_FENCE_S, send())
            if through and not self._answered:
                return
            if self.process.status is not None:
                self.broken = True
                raise Deviation(self.process.death(), self._seen.evidence())
        if not through:
            self.broken = True
            raise Deviation("the VTEP does not forward any more", self._seen.evidence())

    def _await_forwarding(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        missing = [("out of the tunnel", self._fence_in), ("into the tunnel", self._fence_out)]
        while missing:
            way, send = missing[0]
            if self._collect(_TRY_EVERY_S, send()):
                missing.pop(0)
            elif self.process.status is not None:
                raise DidNotStart(self.process.death())
            elif time.monotonic() > deadline:
                said = self.process.last_line()
                raise DidNotStart(
                    f"no frame came {way} within {_STARTS_WITHIN_S:.0f} s: {said}",
                    [self._fenced, *self._seen.evidence()],
                )
        self._pass_fence(self._fence_in)
        self._pass_fence(self._fence_out)

    def _meet_the_remotes(self) -> None:
        """Let the host ask for the remotes' MACs now, so that later no packet waits for one."""
        for number in range(len(self.remotes)):
            mac = f"02:57:fe:00:01:{number:02x}"
            self.from_remote(self.packet(frames.frame(mac, frames.BROADCAST), remote=number))
            self.from_vm(frames.frame(_FENCE_OUT, mac))

    # -- the VTEP's own word

    def ask(self, do: str, **arguments: Any) -> Any:
        """One request to the control socket; Hidden if there is none or it is refused."""
        try:
            return rpc.ask(self.control, do, **arguments)
        except LabError as error:
            raise Hidden(f"{do}: {error}") from None

    def place_of(self, mac: str, vni: int) -> str | None:
        """The remote of a MAC in the VTEP's table; Hidden if it shows none, None if not there."""
        for row in self.ask("fdb"):
            if (row["vni"], row["mac"]) == (vni, mac):
                return str(row["remote"])
        return None

    def _drops(self) -> dict[str, int] | None:
        try:
            rows = self.ask("stats")
        except Hidden:
            return None
        totals: dict[str, int] = {}
        for reason, times in itertools.chain.from_iterable(row["drops"].items() for row in rows):
            totals[reason] = totals.get(reason, 0) + times
        return totals


def _risen(before: dict[str, int], after: dict[str, int]) -> str | None:
    risen = {reason: after[reason] - before.get(reason, 0) for reason in after}
    return ", ".join(f"{reason} {by}" for reason, by in risen.items() if by) or None


def among(macs: Iterable[str], found: Sequence[Carried]) -> list[Carried]:
    """The packets whose inner source is one of some MACs."""
    wanted = {bytes.fromhex(mac.replace(":", "")) for mac in macs}
    return [packet for packet in found if packet.inner[6:12] in wanted]
