"""Taps on a lab's links: AF_PACKET sockets opened in nodes' namespaces, read from outside.

A tap shows each packet as it is on the wire: the 802.1Q tag that the kernel keeps beside the bytes
is put back. Packets queue in the socket, so none is lost between opening and reading.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vxlab.capture.filter import NOTHING, attach, compile_filter
from vxlab.errors import UsageError
from vxlab.lab.enter import SWITCH_KINDS, become_observer, enter_network
from vxlab.lab.handle import Lab
from vxlab.system.namespaces import CLONE_NEWNET, setns

ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_AUXDATA = 8
_SO_TIMESTAMPNS = 35
_TP_STATUS_VLAN_VALID = 0x10
_TP_STATUS_VLAN_TPID_VALID = 0x40
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_STATISTICS = struct.Struct("=II")  # struct tpacket_stats: packets, and those dropped
_TIMESPEC = struct.Struct("=qq")
_RECEIVE_BUFFER = 16 << 20
_LARGEST = 1 << 17
_AGENTS_TAP = "vxtap"  # names given by vtep.fastpath.tap begin so

INBOUND, OUTBOUND = 1, 2  # as in pcapng's direction flag


@dataclass(frozen=True)
class Sighting:
    """One packet as a tap saw it; time_ns: nanoseconds since 1970, from the kernel."""

    time_ns: int
    node: str
    interface: str
    direction: int
    data: bytes


class Tap:
    """One interface of one node."""

    def __init__(self, node: str, interface: str, program: bytes | None = None) -> None:
        """Open it in the current network namespace; program: a compiled capture filter."""
        self.node = node
        self.interface = interface
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if program is not None:
            attach(self.socket, program)  # before bind: until then no packet arrives
        self.socket.bind((interface, ETH_P_ALL))

    def stop(self) -> None:
        """Receive nothing more; what has arrived already can still be read."""
        attach(self.socket, NOTHING)

    def dropped(self) -> int:
        """Packets the kernel dropped since the last call, because the socket's buffer was full."""
        statistics = self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        return int(_STATISTICS.unpack(statistics)[1])

    def send(self, frame: bytes) -> None:
        """Put a frame on the link, as the node itself would."""
        self.socket.send(frame)

    def read(self) -> Iterator[Sighting]:
        """All packets that have arrived and were not read, oldest first."""
        while True:
            try:
                data, extras, _, address = self.socket.recvmsg(_LARGEST, 256)
            except BlockingIOError:
                return
            yield self._sighting(data, extras, address[2])

    def _sighting(
        self, data: bytes, extras: list[tuple[int, int, bytes]], packet_type: int
    ) -> Sighting:
        time_ns = 0
        for level, kind, value in extras:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
                time_ns = seconds * 1_000_000_000 + nanoseconds
            elif (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                data = _with_tag(data, value)
        outgoing = packet_type == socket.PACKET_OUTGOING
        return Sighting(time_ns, self.node, self.interface, OUTBOUND if outgoing else INBOUND, data)


def _with_tag(data: bytes, auxdata: bytes) -> bytes:
    status, _, _, _, _, tci, tpid = _AUXDATA.unpack(auxdata[: _AUXDATA.size])
    if not status & _TP_STATUS_VLAN_VALID:
        return data
    ethertype = tpid if status & _TP_STATUS_VLAN_TPID_VALID else 0x8100
    return data[:12] + struct.pack("!HH", ethertype, tci) + data[12:]


def _interfaces(lab: Lab, row: dict[str, Any]) -> list[str]:
    """A node's interfaces that may be captured, from inside its namespace."""
    names = {name for _, name in socket.if_nameindex() if name != "lo"}
    if row["kind"] in SWITCH_KINDS:  # they share one namespace; a moved VM's cable keeps its name
        names &= set(_recorded(lab, row["name"]))
    return sorted(names)


def _recorded(lab: Lab, node: str) -> Iterator[str]:
    """The interfaces of a node that are ends of links."""
    for link in lab.state["links"]:
        for end in "12":
            if link[f"node{end}"] == node:
                yield link[f"interface{end}"]


def _links(interfaces: list[str]) -> list[str]:
    """Those that are ends of links: an agent's TAPs would show the same packets a second time."""
    return [name for name in interfaces if not name.startswith(_AGENTS_TAP)]


def _chosen(lab: Lab, row: dict[str, Any], interface: str | None) -> list[str]:
    """The interfaces that one target means; UsageError if the node has no such interface."""
    there = _interfaces(lab, row)
    if interface is None:
        return _links(there)
    if interface not in there:
        raise UsageError(
            f"{row['name']}:{interface}: no such interface; {row['name']} has {', '.join(there)}"
        )
    return [interface]


def open_taps(
    lab: Lab, targets: Iterable[tuple[str, str | None]], expression: str | None = None
) -> list[Tap]:
    """Open one tap on each interface that (node, interface) pairs name, however often they do.

    interface None means all of the node's links. expression: a capture filter in libpcap's
    language; UsageError if it is invalid.

    This process takes the lab's rights for good: a lab of an ordinary user has a user namespace,
    and from there no way leads back to the network namespace this process had.
    """
    init = lab.init
    rows = [(lab.node(node), interface) for node, interface in targets]
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    become_observer(lab.directory, init)
    taps: dict[tuple[str, str], Tap] = {}
    program: bytes | None = None
    for row, interface in rows:
        enter_network(lab.directory, init, row["name"], row["kind"])
        for name in _chosen(lab, row, interface):
            if expression is not None and program is None:
                program = compile_filter(expression, name)  # the same for every Ethernet link
            key = (row["name"], name)
            if key not in taps:
                taps[key] = Tap(*key, program)
    with contextlib.suppress(PermissionError):
        setns(home, CLONE_NEWNET)
    os.close(home)
    return list(taps.values())


def follow(
    taps: list[Tap], timeout_s: float | None = None, stop: int | None = None
) -> Iterator[Sighting]:
    """Packets of all taps as they arrive, in order of time within a batch.

    Ends after timeout_s without a packet; or, when the descriptor `stop` becomes readable, after
    all packets that arrived before.
    """
    by_fd = {tap.socket.fileno(): tap for tap in taps}
    poller = select.poll()
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    if stop is not None:
        poller.register(stop, select.POLLIN)
    while ready := poller.poll(None if timeout_s is None else timeout_s * 1000):
        if stop in [fd for fd, _ in ready]:
            for tap in taps:
                tap.stop()  # else reading would not end while packets arrive
            yield from drain(taps)
            return
        batch = [sighting for fd, _ in ready for sighting in by_fd[fd].read()]
        yield from sorted(batch, key=lambda sighting: sighting.time_ns)


def drain(taps: list[Tap]) -> list[Sighting]:
    """All packets that have arrived and were not read, in order of time."""
    return sorted((s for tap in taps for s in tap.read()), key=lambda s: s.time_ns)
