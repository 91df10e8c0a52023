"""The two data paths of an agent behind one interface.

Python: the agent reads every frame and packet from its sockets. eBPF: a program in the kernel
forwards known unicast by a copy of the agent's tables. It passes everything else to the agent
through TAP devices: frames of ports, and packets of the underlay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from vtep.config import Config
from vtep.drops import DropReason
from vtep.fastpath.choice import open_fast_path
from vtep.fastpath.path import FastPath
from vtep.options import Options
from vtep.ports.packet import Frame, PacketPort
from vtep.segments import Mirror
from vtep.underlay.base import Datagram, Underlay


class PortReader(Protocol):
    """Where the frames of one port are read."""

    def fileno(self) -> int:
        """For selectors."""

    def read(self) -> Iterator[Frame | DropReason]:
        """The waiting frames, up to a batch; a DropReason for each that cannot be used."""


class UnderlayReader(Protocol):
    """Where datagrams of the underlay are read."""

    def fileno(self) -> int:
        """For selectors."""

    def receive(self) -> Iterator[Datagram | DropReason]:
        """The waiting datagrams, up to a batch; a DropReason for each that cannot be used."""


class DataPath(Protocol):
    """What the agent needs to know of a data path."""

    name: str  # "python" or "ebpf", as in the configuration
    reason: str  # why this data path was chosen, in one line
    mirror: Mirror | None  # a copy of the core's tables that must follow each change
    port_readers: Sequence[PortReader]  # one for each port, in the order of the configuration
    underlay_readers: Sequence[UnderlayReader]

    def start(self) -> None:
        """Receive from now on; called once, after the segments were added."""

    def overruns(self) -> tuple[int, int]:
        """Packets of the underlay and frames of ports that were lost unread since the last call."""

    def close(self) -> None:
        """Release what only this data path uses. Ports and underlay stay open."""


class PythonDataPath:
    """Every frame and packet passes through the agent."""

    name = "python"
    mirror: Mirror | None = None

    def __init__(self, underlay: Underlay, ports: Sequence[PacketPort], reason: str) -> None:
        self.reason = reason
        self._underlay, self._ports = underlay, ports
        self.port_readers: Sequence[PortReader] = ports
        self.underlay_readers: Sequence[UnderlayReader] = (underlay,)

    def start(self) -> None:
        """Receive from the ports, and merged datagrams from the underlay."""
        self._underlay.take_merged()
        for port in self._ports:
            port.listen()

    def overruns(self) -> tuple[int, int]:
        """Packets and frames for which a socket had no room."""
        return self._underlay.overrun(), sum(port.overrun() for port in self._ports)

    def close(self) -> None:
        """Nothing: ports and underlay belong to the agent."""


class EbpfDataPath:
    """The kernel forwards what it can; the rest passes through the agent.

    The underlay's socket is read, too: the kernel program leaves fragments to the IP stack, which
    reassembles them.
    """

    name = "ebpf"

    def __init__(
        self, fast_path: FastPath, underlay: Underlay, ports: Sequence[PacketPort], reason: str
    ) -> None:
        """fast_path: attached already."""
        self.reason = reason
        self._fast_path, self._underlay, self._ports = fast_path, underlay, ports
        self.mirror: Mirror | None = fast_path.mirror
        self.port_readers: Sequence[PortReader] = fast_path.ports
        self.underlay_readers: Sequence[UnderlayReader] = (underlay, fast_path)

    def start(self) -> None:
        """Nothing: the programs are attached, and their TAP devices receive."""

    def overruns(self) -> tuple[int, int]:
        """Packets and frames for which a socket or a TAP device had no room."""
        packets, frames = self._fast_path.overrun()
        packets += self._underlay.overrun()
        return packets, frames + sum(port.overrun() for port in self._ports)

    def close(self) -> None:
        """Detach the programs and remove the TAP devices."""
        self._fast_path.close()


def open_data_path(
    config: Config, options: Options, underlay: Underlay, ports: list[PacketPort]
) -> DataPath:
    """Open the data path that configuration and machine allow.

    Raises StartError if the configuration has `datapath = "ebpf"` and eBPF cannot run.
    """
    fast_path, choice = open_fast_path(config, options, underlay, ports)
    if fast_path is None:
        return PythonDataPath(underlay, ports, choice.why)
    return EbpfDataPath(fast_path, underlay, ports, choice.why)
