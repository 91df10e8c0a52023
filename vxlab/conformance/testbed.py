"""The test bed: one VTEP between a VM port and an underlay port that rows drive.

It only puts the parts together and waits until the VTEP forwards:

    wires      the two links, and the namespace of the VTEP        wiring.py
    process    the VTEP itself                                     process.py
    packets    makes packets for this setup                        packets.py
    traffic    sends them and observes what comes out              exchange.py, fences.py
    control    the VTEP's control socket                           control.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vxlab.capture.packets import CapturedPacket
from vxlab.conformance import fences as fence_macs
from vxlab.conformance import frames
from vxlab.conformance.candidate import Candidate
from vxlab.conformance.control import ControlClient
from vxlab.conformance.exchange import PacketExchange
from vxlab.conformance.fences import Fence, Fences
from vxlab.conformance.packets import PacketMaker
from vxlab.conformance.process import DidNotStart, VtepProcess
from vxlab.conformance.setups import SegmentSetup, Setup
from vxlab.conformance.verdict import Packet
from vxlab.conformance.wiring import OWN_MAC, Wires
from vxlab.errors import LabError

_STARTS_WITHIN_S = 20.0
_OTHER_WAY_WITHIN_S = 5.0  # once it forwards one way: a VTEP that runs has both ways soon
_TRY_EVERY_S = 0.05


class TestBed:
    """A running VTEP and the two links that end at it."""

    __test__ = False  # pytest must not take it for a test class

    def __init__(
        self, setup: Setup, candidate: Candidate, directory: Path,
        watch: Callable[[CapturedPacket], None],
    ) -> None:  # fmt: skip
        """Start the VTEP and wait until it forwards; DidNotStart says why it does not.

        directory: for configuration, log and control socket. watch: called with every packet of
        all links.
        """
        self.setup = setup
        self.multicast, self.trunk = candidate.multicast, candidate.trunk
        self.kept: dict[str, Any] = {}  # results that rows of the same setup share
        self._ending = False
        self.wires = Wires(setup, self.trunk, watch)
        self.control = ControlClient(directory / f"{self.wires.name}.sock")
        self.packets = PacketMaker(setup, OWN_MAC)
        config = directory / f"{self.wires.name}.toml"
        config.write_text(setup.text(str(self.control.path), self.multicast, self.trunk))
        try:
            self.process = VtepProcess(self.wires.inside(*candidate.command), config)
            fences = Fences(self.packets, self.flood_copies)
            self.traffic = PacketExchange(setup, self.wires, fences, self.control, self.process)
            self._await_forwarding(fences)
        except LabError:
            self.close()
            raise
        self._resolve_remotes()

    def close(self) -> None:
        """End the VTEP and remove the links."""
        if hasattr(self, "process"):
            self.process.end()
        self.wires.close()

    @property
    def usable(self) -> bool:
        """Whether another row can be judged with this VTEP."""
        return not (self._ending or self.traffic.lost) and self.process.status is None

    def ask_to_end(self) -> None:
        """Ask the VTEP to end in order (SIGTERM); the next row gets a new one."""
        self._ending = True
        self.process.ask_to_end()

    @property
    def segments(self) -> tuple[SegmentSetup, ...]:
        """The segments of the configuration."""
        return self.setup.segments

    @property
    def remotes(self) -> tuple[str, ...]:
        """The addresses of the remote VTEPs that the test bed simulates."""
        return self.setup.remotes

    @property
    def flood_copies(self) -> int:
        """How many packets one flooded frame becomes."""
        return 1 if self.multicast else len(self.remotes)

    def _await_forwarding(self, fences: Fences) -> None:
        self._await_way("out of the tunnel", fences.out_of_tunnel, _STARTS_WITHIN_S)
        self._await_way("into the tunnel", fences.into_tunnel, _OTHER_WAY_WITHIN_S)
        self.traffic.pass_fence(fences.out_of_tunnel)
        self.traffic.pass_fence(fences.into_tunnel)

    def _await_way(self, way: str, make: Callable[[], Fence], within_s: float) -> None:
        """Send fences until one is through; DidNotStart if the VTEP ends or none is in time."""
        deadline = time.monotonic() + within_s
        while True:
            fence = make()
            if self.traffic.collect(_TRY_EVERY_S, self.traffic.send_fence(fence)):
                return
            if self.process.status is not None:
                raise DidNotStart(self.process.exit_text(), output=self.process.output())
            if time.monotonic() > deadline:
                port = "VM port" if fence.from_vm else "underlay port"
                raise DidNotStart(
                    f"no frame came {way} within {within_s:.0f} s; "
                    f"the VTEP's last line of output: {self.process.last_line()}",
                    [Packet(f"to the {port}", fence.data), *self.traffic.observed.evidence()],
                    self.process.output(),
                )

    def _resolve_remotes(self) -> None:
        """Let the VTEP's host resolve the MACs of all remotes, so that later no packet waits."""
        for number in range(len(self.remotes)):
            mac = f"02:57:fe:00:01:{number:02x}"
            made = self.packets.vxlan(frames.frame(mac, frames.BROADCAST), remote=number)
            self.traffic.from_remote(made)
            self.traffic.from_vm(frames.frame(fence_macs.VM_MAC, mac))
