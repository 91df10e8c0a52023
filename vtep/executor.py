"""Carry out the core's effects and settle the events that depend on them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from vtep.batching import Batch, Batcher
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Decision, Effect, JoinGroup, LeaveGroup, ToPort, ToUnderlay
from vtep.ports.packet import PacketPort
from vtep.reporting import PendingFate, Reporter
from vtep.tcp_merge import PortRun
from vtep.udp_gso import PacketRun
from vtep.underlay.base import Underlay
from vtep.underlay.gso_sender import GsoSender


class Executor:
    """The way from decisions to sockets.

    Frames to ports may be collected in `to_ports`, packets to the underlay in `to_underlay`;
    `carry_out` collects nothing.
    """

    def __init__(
        self,
        core: Core,
        reporter: Reporter,
        ports: Sequence[PacketPort],
        underlay: Underlay,
        gso_sender: GsoSender | None,
    ) -> None:
        """gso_sender: sends runs of packets by UDP segmentation offload, if that is possible."""
        self._core, self._hold = core, reporter.hold
        self._ports, self._underlay = ports, underlay
        self._sender = gso_sender or underlay
        self.to_ports: Batch = Batcher(PortRun(), self._hold, self._carry_out_one, self._write_run)
        self.to_underlay: Batch = self
        if gso_sender is not None:
            self.to_underlay = Batcher(
                PacketRun(), self._hold, self._carry_out_one, partial(self._send_run, gso_sender)
            )

    def carry_out(self, decision: Decision) -> None:
        """Carry out a decision's effects; StartError if a group cannot be joined."""
        effects, events = decision
        fate = self._hold(decision) if events else None
        for effect in effects:
            if isinstance(effect, ToUnderlay):  # the most frequent effect, without another call
                reason = self._sender.send(effect.destination, effect.packet)
                if reason is not None or fate is not None:
                    self._settle(effect, fate, reason)
            else:
                self._carry_out_one(effect, fate)

    def flush(self) -> None:
        """Nothing is held back here."""

    def _carry_out_one(self, effect: Effect, fate: PendingFate | None) -> None:
        if isinstance(effect, ToUnderlay):
            reason = self._sender.send(effect.destination, effect.packet)
        elif isinstance(effect, ToPort):
            reason = self._ports[effect.port].write(effect.vlan, effect.frame)
        else:
            self._change_membership(effect)
            return
        if reason is not None or fate is not None:
            self._settle(effect, fate, reason)

    def _change_membership(self, effect: JoinGroup | LeaveGroup) -> None:
        if isinstance(effect, JoinGroup):
            self._underlay.join(effect.group)
        else:
            self._underlay.leave(effect.group)

    def _write_run(self, run: list[ToPort], fates: list[PendingFate | None]) -> None:
        first = run[0]
        reasons = self._ports[first.port].write_run(first.vlan, [each.frame for each in run])
        self._settle_run(run, fates, reasons)

    def _send_run(
        self, sender: GsoSender, run: list[ToUnderlay], fates: list[PendingFate | None]
    ) -> None:
        reasons = sender.send_run(run[0].destination, [each.packet for each in run])
        self._settle_run(run, fates, reasons)

    def _settle_run(
        self,
        run: Sequence[ToPort | ToUnderlay],
        fates: list[PendingFate | None],
        reasons: Sequence[DropReason | None],
    ) -> None:
        for effect, fate, reason in zip(run, fates, reasons, strict=True):
            if reason is not None or fate is not None:
                self._settle(effect, fate, reason)

    def _settle(
        self, effect: ToPort | ToUnderlay, fate: PendingFate | None, reason: DropReason | None
    ) -> None:
        if reason is not None:
            self._core.failed(effect, reason)
        if fate is not None:
            fate.settle(effect, reason, time.monotonic())
