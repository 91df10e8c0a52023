"""The agent: one loop that joins ports, underlay, core and clock. No forwarding decision here.

Ready descriptor -> core -> carry out effects -> re-arm one timer.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from vtep import commands
from vtep.batching import Batcher
from vtep.config import Config
from vtep.control import Control
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Effect, JoinGroup, LeaveGroup, PortId, ToPort, ToUnderlay
from vtep.fastpath.choice import open_fast_path
from vtep.options import Options
from vtep.ports.packet import Frame, PacketPort
from vtep.tcp_merge import PortRun
from vtep.udp_gso import PacketRun
from vtep.underlay.base import Underlay
from vtep.underlay.gso_sender import GsoSender, kernel_supports_gso
from vtep.underlay.ipv4 import Ipv4Underlay
from vtep.underlay.ipv6 import Ipv6Underlay
from vtep.wire import is_ipv6

_OVERRUN_EVERY_S = 1.0


class Reader(Protocol):
    """Where frames of a port are read."""

    def fileno(self) -> int:
        """For selectors."""

    def read(self) -> Iterator[Frame | DropReason]:
        """The frames that wait, up to a batch of reads."""


class Agent:
    """One VTEP that runs."""

    def __init__(self, config: Config) -> None:
        """Open everything and carry the configured segments; StartError says what is in the way."""
        self.name = config.name
        self.ports = config.ports
        underlay = config.underlay
        kind = Ipv6Underlay if is_ipv6(underlay.local) else Ipv4Underlay
        self._underlay: Underlay = kind(underlay.interface, underlay.local, underlay.port, say)
        self._ports = [PacketPort(interface) for interface in config.ports]
        if not underlay.udp_checksum:
            self._underlay.accept_zero_checksums()
        segmenting = _segmenting(config, self._underlay)
        self._sender: Underlay | GsoSender = segmenting or self._underlay
        options = _options(config, self._underlay.mtu, segmenting is not None)
        self._fast, self.datapath = open_fast_path(config, options, self._underlay, self._ports)
        self.core = Core(options, None if self._fast is None else self._fast.mirror)
        self._to_ports = Batcher(PortRun(), self.carry_out, self._write_run)
        self._to_underlay = None
        if segmenting is not None:
            self._to_underlay = Batcher(
                PacketRun(), self.carry_out, partial(self._send_run, segmenting)
            )
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._overrun_due_s = 0.0
        self._add_segments(config)
        self._control = None
        if config.control is not None:
            self._control = Control(config.control, self._selector, commands.table(self))

    def _add_segments(self, config: Config) -> None:
        now = time.monotonic()
        for segment in config.segments:
            port = PortId(self.ports.index(segment.port))
            self.carry_out(self.core.add_segment(commands.carried(segment, port), now))
        for row in config.static:
            self.core.set_static(row.vni, row.mac, row.remote, now, add=True)

    # -- the loop

    def run(self) -> None:
        """Forward until told to stop; then leave all groups."""
        self._wake_on_signals()
        read = selectors.EVENT_READ
        self._selector.register(self._underlay, read, self._underlay_ready)
        readers: Sequence[Reader] = self._ports
        if self._fast is None:
            self._underlay.take_merged()
            for port in self._ports:
                port.listen()
        else:
            self._selector.register(self._fast.misses, read, self._misses_ready)
            readers = self._fast.ports
        for number, reader in enumerate(readers):
            self._selector.register(reader, read, _PortReady(self, PortId(number), reader))
        while not self._stopping:
            for key, mask in self._selector.select(self._until_deadline()):
                key.data(mask)
            self._on_time()
        self._end()

    def _wake_on_signals(self) -> None:
        """A signal only writes a byte that the selector sees, so none comes at a wrong moment."""
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._wake, selectors.EVENT_READ, lambda _: self.stop())

    def _until_deadline(self) -> float | None:
        deadline = self.core.next_deadline()
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _on_time(self) -> None:
        now = time.monotonic()
        self.core.expire(now)
        if now >= self._overrun_due_s:
            self._overrun_due_s = now + _OVERRUN_EVERY_S
            self.count_overruns(now)

    def count_overruns(self, now: float) -> None:
        """Count what the kernel lost before it could be read."""
        packets, frames = (0, 0) if self._fast is None else self._fast.overrun()
        if lost := packets + self._underlay.overrun():
            self.core.lost(None, DropReason.UNDERLAY_OVERRUN, now, lost)
        if lost := frames + sum(port.overrun() for port in self._ports):
            self.core.lost(None, DropReason.PORT_OVERRUN, now, lost)

    def stop(self) -> None:
        """End after the present round."""
        self._stopping = True

    def _end(self) -> None:
        now = time.monotonic()
        for vni in list(self.core.segments.by_vni):
            self.carry_out(self.core.remove_segment(vni, now, why="stopping"))
        if self._fast is not None:
            self._fast.close()
        self._sender.close()
        for port in self._ports:
            port.close()
        if self._control is not None:
            self._control.close()  # last: who waits for the end asks here

    # -- in

    def _underlay_ready(self, _mask: int) -> None:
        now = time.monotonic()
        for sender, sport, to_group, octet, datagram in self._underlay.receive():
            self._to_ports.carry_out(
                self.core.datagram_from_underlay(sender, sport, to_group, datagram, now, octet)
            )
        self._to_ports.flush()

    def _misses_ready(self, _mask: int) -> None:
        assert self._fast is not None
        now = time.monotonic()
        for arrived in self._fast.receive():
            if isinstance(arrived, DropReason):
                self.core.lost(None, arrived, now)
                continue
            sender, sport, to_group, octet, datagram = arrived
            self.carry_out(
                self.core.datagram_from_underlay(sender, sport, to_group, datagram, now, octet)
            )

    def port_ready(self, number: PortId, port: Reader) -> None:
        """Frames wait at a port."""
        now = time.monotonic()
        waiting = self._to_underlay
        carry_out = self.carry_out if waiting is None else waiting.carry_out
        for arrived in port.read():
            if isinstance(arrived, DropReason):
                self.core.lost(None, arrived, now)
            else:
                carry_out(self.core.frame_from_port(number, *arrived, now))
        if waiting is not None:
            waiting.flush()

    # -- out

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Do what the core asks, and tell it what could not be done."""
        for effect in effects:
            if isinstance(effect, ToUnderlay):
                reason = self._sender.send(effect.destination, effect.packet)
            elif isinstance(effect, ToPort):
                reason = self._ports[effect.port].write(effect.vlan, effect.frame)
            else:
                self._change_membership(effect)
                continue
            if reason is not None or effect.told is not None:
                self._settle(effect, reason)

    def _change_membership(self, effect: JoinGroup | LeaveGroup) -> None:
        if isinstance(effect, JoinGroup):
            self._underlay.join(effect.group)
        else:
            self._underlay.leave(effect.group)

    def _write_run(self, run: list[ToPort]) -> None:
        first = run[0]
        reasons = self._ports[first.port].write_run(first.vlan, [each.frame for each in run])
        for effect, reason in zip(run, reasons, strict=True):
            self._settle(effect, reason)

    def _send_run(self, segmenting: GsoSender, run: list[ToUnderlay]) -> None:
        reasons = segmenting.send_run(run[0].destination, [each.packet for each in run])
        for effect, reason in zip(run, reasons, strict=True):
            self._settle(effect, reason)

    def _settle(self, effect: ToUnderlay | ToPort, reason: DropReason | None) -> None:
        if reason is not None:
            self.core.failed(effect, reason, time.monotonic())
        elif effect.told is not None:
            self.core.done(effect)

    def kernel_groups(self) -> set[str]:
        """The groups the kernel is a member of on the underlay interface."""
        return self._underlay.kernel_groups()


class _PortReady:
    """Binds a port to the agent, as the selector's data."""

    def __init__(self, agent: Agent, number: PortId, port: Reader) -> None:
        self._agent, self._number, self._port = agent, number, port

    def __call__(self, _mask: int) -> None:
        self._agent.port_ready(self._number, self._port)


def _segmenting(config: Config, underlay: Underlay) -> GsoSender | None:
    """Who sends runs of packets for the kernel to cut; None where it has to be each by itself.

    The kernel cuts only what has a UDP checksum, and sets DF.
    """
    told = config.underlay
    if not (told.udp_checksum and told.df and kernel_supports_gso()):
        return None
    if not told.offload:
        try:
            underlay.without_send_offloads()
        except OSError:
            return None
    return GsoSender(underlay, told.local, told.port)


def _options(config: Config, mtu: int, segmenting: bool) -> Options:
    """segmenting: whether the sender computes UDP checksums, if any, and not the core."""
    underlay = config.underlay
    return Options(
        local=underlay.local,
        port=underlay.port,
        ttl=underlay.ttl,
        dscp=underlay.dscp,
        df=underlay.df,
        icmp_too_big=underlay.icmp_too_big,
        trusted=frozenset(underlay.trusted),
        udp_checksum=underlay.udp_checksum and not segmenting,
        source_ports=underlay.source_ports,
        strict=underlay.strict,
        ageing_s=config.ageing_s,
        limit=config.limit,
        mtu=mtu,
    )


def say(text: str) -> None:
    """One line in the agent's log."""
    print(f"vtep: {text}", file=sys.stderr, flush=True)
