"""The agent: one loop that connects ports, underlay, core and clock.

Ready descriptor -> core -> carry out effects, report events -> wait for the next deadline. No
forwarding decision is made here.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from functools import partial

from vtep import commands
from vtep.config import Config
from vtep.control import Control
from vtep.core import Core
from vtep.data_path import PortReader, UnderlayReader, open_data_path
from vtep.drops import DropReason
from vtep.effects import Decision, PortId
from vtep.executor import Executor
from vtep.log import log
from vtep.options import Options
from vtep.ports.packet import PacketPort
from vtep.reporting import Reporter
from vtep.underlay.base import Underlay
from vtep.underlay.gso_sender import open_gso_sender
from vtep.underlay.ipv4 import Ipv4Underlay
from vtep.underlay.ipv6 import Ipv6Underlay
from vtep.wire import is_ipv6

_OVERRUN_EVERY_S = 1.0


class Agent:
    """One running VTEP."""

    def __init__(self, config: Config) -> None:
        """Open everything and add the configured segments; StartError says what prevents it."""
        self.name = config.name
        self.ports = config.ports
        underlay = config.underlay
        kind = Ipv6Underlay if is_ipv6(underlay.local) else Ipv4Underlay
        self._underlay: Underlay = kind(underlay.interface, underlay.local, underlay.port, log)
        self._ports = [PacketPort(interface) for interface in config.ports]
        if not underlay.udp_checksum:
            self._underlay.accept_zero_checksums()
        gso_sender = open_gso_sender(underlay, self._underlay)
        options = _options(config, self._underlay.mtu, gso_sender is not None)
        self.data_path = open_data_path(config, options, self._underlay, self._ports)
        self.core = Core(options, self.data_path.mirror)
        self.reporter = Reporter(self.core.watch)
        self._executor = Executor(self.core, self.reporter, self._ports, self._underlay, gso_sender)
        self._closing = [
            self.data_path.close, (gso_sender or self._underlay).close,
            *(port.close for port in self._ports),
        ]  # fmt: skip
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._overrun_due_s = 0.0
        self._add_segments(config)
        if config.control is not None:
            control = Control(config.control, self._selector, commands.table(self))
            self._closing.append(control.close)  # last: clients wait for the end of the connection

    def _add_segments(self, config: Config) -> None:
        now = time.monotonic()
        for segment in config.segments:
            port = PortId(self.ports.index(segment.port))
            self.carry_out(self.core.add_segment(commands.segment_spec(segment, port), now))
        for row in config.static:
            self.core.set_static(row.vni, row.mac, row.remote, now, add=True)

    # -- the loop

    def run(self) -> None:
        """Forward until `stop` is called or a signal arrives; then leave all groups and close."""
        self._wake_on_signals()
        self.data_path.start()
        for number, port in enumerate(self.data_path.port_readers):
            ready = partial(self._port_ready, PortId(number), port)
            self._selector.register(port, selectors.EVENT_READ, ready)
        for underlay in self.data_path.underlay_readers:
            ready = partial(self._underlay_ready, underlay)
            self._selector.register(underlay, selectors.EVENT_READ, ready)
        while not self._stopping:
            for key, mask in self._selector.select(self._until_deadline()):
                key.data(mask)
            self._on_time()
        self._end()

    def _wake_on_signals(self) -> None:
        """A signal only writes a byte that the selector sees, so it never interrupts a decision."""
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
        self.reporter.report(self.core.expire(now))
        if now >= self._overrun_due_s:
            self._overrun_due_s = now + _OVERRUN_EVERY_S
            self._count_overruns(now)

    def _count_overruns(self, now: float) -> None:
        """Count the packets and frames that the kernel dropped before they could be read."""
        packets, frames = self.data_path.overruns()
        if packets:
            self._count_lost(DropReason.UNDERLAY_OVERRUN, now, packets)
        if frames:
            self._count_lost(DropReason.PORT_OVERRUN, now, frames)

    def _count_lost(self, reason: DropReason, now: float, times: int = 1) -> None:
        self.reporter.report(self.core.lost(None, reason, now, times))

    def stop(self) -> None:
        """End after the current round of the loop."""
        self._stopping = True

    def _end(self) -> None:
        now = time.monotonic()
        for vni in list(self.core.segments.by_vni):
            self.carry_out(self.core.remove_segment(vni, now, why="stopping"))
        for close in self._closing:
            close()

    # -- input

    def _underlay_ready(self, underlay: UnderlayReader, _mask: int) -> None:
        now = time.monotonic()
        batch, decide = self._executor.to_ports, self.core.datagram_from_underlay
        for arrived in underlay.receive():
            if isinstance(arrived, DropReason):
                self._count_lost(arrived, now)
                continue
            sender, sport, to_group, octet, datagram = arrived
            batch.carry_out(decide(sender, sport, to_group, datagram, now, octet))
        batch.flush()

    def _port_ready(self, number: PortId, port: PortReader, _mask: int) -> None:
        now = time.monotonic()
        batch, decide = self._executor.to_underlay, self.core.frame_from_port
        for arrived in port.read():
            if isinstance(arrived, DropReason):
                self._count_lost(arrived, now)
            else:
                batch.carry_out(decide(number, *arrived, now))
        batch.flush()

    # -- for commands

    def carry_out(self, decision: Decision) -> None:
        """Carry out a decision at once; StartError if a group cannot be joined."""
        self._executor.carry_out(decision)

    def kernel_groups(self) -> set[str]:
        """The groups that the kernel has joined on the underlay interface."""
        return self._underlay.kernel_groups()


def _options(config: Config, mtu: int, gso: bool) -> Options:
    """The core's options. gso: the sender computes UDP checksums, so the core must not."""
    underlay = config.underlay
    return Options(
        local=underlay.local,
        port=underlay.port,
        ttl=underlay.ttl,
        dscp=underlay.dscp,
        df=underlay.df,
        icmp_too_big=underlay.icmp_too_big,
        trusted=frozenset(underlay.trusted),
        udp_checksum=underlay.udp_checksum and not gso,
        source_ports=underlay.source_ports,
        strict=underlay.strict,
        ageing_s=config.ageing_s,
        limit=config.limit,
        mtu=mtu,
    )
