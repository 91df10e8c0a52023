"""Exchanges with the VTEP under test: send at one of its ports, observe both.

Rules of this file:
- both directions get a fence after each exchange (`fences.py`), so that frames the VTEP turned
  back are seen as well;
- it answers ARP and neighbour solicitations for the addresses that the test bed simulates. If one
  came during a fence, the fence is sent again: packets may have waited for the address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from vxlab.conformance import fences as fence_macs
from vxlab.conformance import frames
from vxlab.conformance.control import ControlClient, risen
from vxlab.conformance.fences import Fence, Fences
from vxlab.conformance.membership_reports import reports
from vxlab.conformance.neighbour_replies import reply_to
from vxlab.conformance.observation import Observation, is_housekeeping
from vxlab.conformance.process import VtepProcess
from vxlab.conformance.setups import OTHER_OWN4, Setup
from vxlab.conformance.verdict import Deviation, Packet
from vxlab.conformance.wiring import Wires

_FENCE_S = 1.5
_FENCE_TRIES = 3


class PacketExchange:
    """Sends frames and packets, and collects what comes out."""

    def __init__(
        self, setup: Setup, wires: Wires, fences: Fences, control: ControlClient,
        process: VtepProcess,
    ) -> None:  # fmt: skip
        self._setup = setup
        self._wires = wires
        self._control = control
        self._process = process
        self.fences = fences
        self.reports: list[bytes] = []  # all IGMP and MLD reports since the start
        self.lost = False  # the VTEP has ended, or no longer forwards
        self.observed = Observation(setup.port)
        self._replied = False  # whether an address was resolved since the last fence was sent

    def from_vm(self, *made: bytes, segment: int = 0, count: bool = False) -> Observation:
        """Send untagged frames at the VM port, in a segment's VLAN."""
        vlan = self._setup.segments[segment].vlan
        return self.exchange(port=[frames.tagged(each, vlan) for each in made], count=count)

    def from_remote(self, *packets: bytes, count: bool = False) -> Observation:
        """Send packets at the underlay port."""
        return self.exchange(underlay=packets, count=count)

    def exchange(
        self, port: Sequence[bytes] = (), underlay: Sequence[bytes] = (), count: bool = False
    ) -> Observation:
        """Send at one of the ports, and collect until the fences of both directions are through.

        count: read the drop counters before and after. Deviation if the VTEP ends or no longer
        forwards.
        """
        before = self._control.drops() if count else None
        observed = self.observed = Observation(self._setup.port)
        for frame in port:
            observed.sent.append(Packet("to the VM port", frame))
            self._wires.send_frame(frame)
        for packet in underlay:
            observed.sent.append(Packet("to the underlay port", packet))
            self._wires.send_packet(packet)
        # First the fence that follows what was sent, on the same path.
        ways = (self.fences.into_tunnel, self.fences.out_of_tunnel)
        for make in reversed(ways) if underlay else ways:
            self.pass_fence(make)
        if before is not None:
            observed.counted = risen(before, self._control.drops() or {})
        return observed

    def listen(
        self, seconds: float, until: Callable[[Observation], object] | None = None
    ) -> Observation:
        """Collect for a time, or until something is seen: for what the VTEP sends by itself."""
        observed = self.observed = Observation(self._setup.port)
        self.collect(seconds, lambda: until is not None and bool(until(observed)))
        return observed

    def collect(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Read both ports until `done` is true; False if it is not within some seconds."""
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for frame in self._wires.read(left):
                if frame.at_underlay:
                    self._take_packet(frame.data)
                else:
                    self._take_frame(frame.data)
        return True

    def _take_frame(self, frame: bytes) -> None:
        if self.fences.recognise(frame, fence_macs.REMOTE_MAC) or is_housekeeping(frame):
            return
        self.observed.port.append(frame)

    def _take_packet(self, packet: bytes) -> None:
        reply = reply_to(packet, frozenset((self._setup.own, OTHER_OWN4)))
        if reply is not None:
            self._wires.send_packet(reply)
            self._replied = True
        elif not self.fences.recognise(packet, fence_macs.VM_MAC):
            self.observed.underlay.append(packet)
            if reports([packet]):
                self.reports.append(packet)

    def send_fence(self, fence: Fence) -> Callable[[], bool]:
        """Send a fence; returns a function that says whether it is through."""
        if fence.from_vm:
            self._wires.send_frame(fence.data)
        else:
            self._wires.send_packet(fence.data)
        return lambda: self.fences.through(fence)

    def pass_fence(self, make: Callable[[], Fence]) -> None:
        """Send a fence and wait until it is through; Deviation if it does not come through."""
        for _ in range(_FENCE_TRIES):
            self._replied = False
            through = self.collect(_FENCE_S, self.send_fence(make()))
            if through and not self._replied:
                return
            if self._process.status is not None:
                self.lost = True
                raise Deviation(self._process.exit_text(), self.observed.evidence())
        if not through:
            self.lost = True
            text = "the VTEP no longer forwards frames"
            raise Deviation(text, self.observed.evidence())
