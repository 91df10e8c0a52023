"""The underlay side of a VTEP; what IPv4 and IPv6 have in common.

Packets are sent by a raw socket, because each has its own IP and UDP header. They are received by a
UDP socket, so that the kernel verifies checksums and reassembles fragments. Groups are joined on
further sockets, for any source, because a socket can join only some hundreds. The kernel does
neighbour resolution, routing, multicast MACs, IGMP and MLD.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress

from vtep.drops import DropReason
from vtep.errors import StartError
from vtep.recvmmsg import ReceiveBatch
from vtep.udp_gso import split_datagrams

# (sender, source port, whether it was sent to a group, traffic class, payload)
Datagram = tuple[str, int, bool, int, bytes]

_RECEIVE_BUFFER = 16 << 20
SEND_BUFFER = 4 << 20
_LARGEST = 65_536
_PORT_AT = 2  # in a socket address
_TEXTS_KEPT = 4096
_SO_MEMINFO = 55
_SO_RCVBUFFORCE = 33
_MEMINFO = struct.Struct("=9I")  # the last is SK_MEMINFO_DROPS
_SIOCGIFMTU = 0x8921
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17  # disabling checksums disables segmentation too
_UDP_GRO = 104
_TYPE_AT = 12  # in a control message
_MERGED = struct.Struct("=16xi4x")  # a control message with one number
GROUPS_A_SOCKET = 200


class Underlay(ABC):
    """One NIC of the underlay."""

    family: socket.AddressFamily

    def __init__(self, interface: str, local: str, port: int, log: Callable[[str], None]) -> None:
        """Open the sockets; StartError names cause and fix. log: writes to the agent's log."""
        self.log = log
        self.interface = interface
        try:
            self.index = socket.if_nametoindex(interface)
        except OSError:
            raise StartError(f"underlay {interface}: no such interface") from None
        try:
            self._sender = self.open(socket.SOCK_RAW, socket.IPPROTO_RAW)
        except PermissionError:
            raise StartError(f"underlay {interface}: needs root, or CAP_NET_RAW") from None
        self._check_local(local)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.prepare_sender(self._sender)
        self._receiver = self.open(socket.SOCK_DGRAM, 0)
        self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        try:
            self._receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            pass  # then the limit is net.core.rmem_max
        self.prepare_receiver(self._receiver)
        self._bind(port)
        self._holders: list[socket.socket] = []
        self.joined: dict[str, socket.socket] = {}
        self._batch = ReceiveBatch(_LARGEST)
        self._texts: dict[bytes, str] = {}  # of senders' addresses
        self._lost = 0  # datagrams, as of the last call of `overrun`

    def _check_local(self, local: str) -> None:
        """Reject an address that is not configured: remotes could not reply to it."""
        with socket.socket(self.family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((local, 0))
            except OSError:
                raise StartError(
                    f"underlay.local {local}: not an address of this host; "
                    f"`ip address add {local}/24 dev {self.interface}` adds it"
                ) from None

    def open(self, kind: int, protocol: int) -> socket.socket:
        """A socket of the interface; OSError if the machine forbids it."""
        opened = socket.socket(self.family, kind, protocol)
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode())
        return opened

    def _bind(self, port: int) -> None:
        try:
            self._receiver.bind(("", port))
        except OSError as error:
            raise StartError(
                f"underlay.port {port}: {error.strerror}; "
                "another VTEP or a kernel vxlan device uses it"
            ) from None

    @property
    def mtu(self) -> int:
        """The interface's MTU in bytes."""
        request = struct.pack("16si", self.interface.encode(), 0)
        answer = fcntl.ioctl(self._receiver, _SIOCGIFMTU, request)
        return int(struct.unpack("16si", answer)[1])

    def without_send_offloads(self) -> None:
        """Let the kernel compute checksums and segment super-frames before the NIC gets them.

        OSError if the NIC does not support that setting.
        """
        value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
        address, _ = value.buffer_info()
        request = struct.pack("16sP", self.interface.encode(), address)
        fcntl.ioctl(self._receiver, _SIOCETHTOOL, request)

    def fileno(self) -> int:
        """For selectors."""
        return self._receiver.fileno()

    # -- per address family

    @abstractmethod
    def prepare_sender(self, sender: socket.socket) -> None:
        """Set the options of a sending socket, raw or UDP."""

    @abstractmethod
    def prepare_receiver(self, receiver: socket.socket) -> None:
        """Set the options of the receiving UDP socket."""

    @abstractmethod
    def look(self, control: memoryview) -> tuple[bool, int]:
        """From a datagram's control messages: whether it was sent to a group, and traffic class."""

    @abstractmethod
    def marks(self, packet: bytearray) -> list[tuple[int, int, bytes]]:
        """Control messages that make a UDP socket send with the TTL and class of a packet."""

    @abstractmethod
    def sender(self, name: memoryview) -> bytes:
        """The address in a socket address."""

    @abstractmethod
    def change_membership(self, holder: socket.socket, group: str, join: bool) -> None:
        """Join or leave for any source; OSError if the kernel refuses."""

    @abstractmethod
    def kernel_groups(self) -> set[str]:
        """The groups that the kernel has joined on this interface."""

    @abstractmethod
    def accept_zero_checksums(self) -> None:
        """Also receive datagrams with a zero UDP checksum."""

    # -- packets

    def send(self, destination: str, packet: bytes | bytearray) -> DropReason | None:
        """Send one IP packet; returns the reason if that failed."""
        try:
            self._sender.sendto(packet, (destination, 0))
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return DropReason.TOO_BIG
            busy = error.errno in (errno.EAGAIN, errno.ENOBUFS)
            return DropReason.UNDERLAY_BUSY if busy else DropReason.UNDERLAY_UNREACHABLE
        return None

    def receive(self) -> Iterator[Datagram]:
        """The waiting datagrams, up to a batch."""
        try:
            for data, name, control, _ in self._batch.receive(self._receiver.fileno()):
                size = 0
                if control[_TYPE_AT] == _UDP_GRO:  # the kernel puts it first
                    (size,) = _MERGED.unpack_from(control)
                    control = control[_MERGED.size :]
                to_group, octet = self.look(control)
                sport = name[_PORT_AT] << 8 | name[_PORT_AT + 1]
                sender = self._text(self.sender(name))
                if not size:
                    yield sender, sport, to_group, octet, bytes(data)
                    continue
                for datagram in split_datagrams(data, size):
                    yield sender, sport, to_group, octet, datagram
        except OSError:
            return  # no datagram waits, or an ICMP error for an earlier packet was reported

    def take_merged(self) -> None:
        """Let the kernel merge datagrams that have checksums (UDP_GRO), if it supports that."""
        with suppress(OSError):
            self._receiver.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)

    def _text(self, address: bytes) -> str:
        text = self._texts.get(address)
        if text is None:
            if len(self._texts) >= _TEXTS_KEPT:
                self._texts.clear()
            text = self._texts[address] = socket.inet_ntop(self.family, address)
        return text

    def overrun(self) -> int:
        """The number of datagrams lost before they were read, since the last call.

        SO_RXQ_OVFL cannot be used: kernels before 6.3 with hardened usercopy kill the reader of its
        control message if the datagram began as a local TCP segment in a tunnel.
        """
        found = self._receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        total: int = _MEMINFO.unpack(found)[-1]
        fresh, self._lost = (total - self._lost) & 0xFFFFFFFF, total
        return fresh

    # -- groups

    def join(self, group: str) -> None:
        """Join a group; the kernel sends the report. StartError names the limit to raise."""
        if len(self.joined) >= len(self._holders) * GROUPS_A_SOCKET:
            self._holders.append(socket.socket(self.family, socket.SOCK_DGRAM))
        holder = min(self._holders, key=list(self.joined.values()).count)
        try:
            self.change_membership(holder, group, join=True)
        except OSError as error:
            raise StartError(
                f"group {group}: {error.strerror}; `sysctl net.ipv4.igmp_max_memberships="
                f"{GROUPS_A_SOCKET}` allows more"
            ) from None
        self.joined[group] = holder

    def leave(self, group: str) -> None:
        """Leave a group."""
        try:
            self.change_membership(self.joined.pop(group), group, join=False)
        except OSError:
            return  # the interface is gone, and the membership with it

    def close(self) -> None:
        """Close all sockets; the kernel then leaves all groups."""
        for opened in (self._sender, self._receiver, *self._holders):
            opened.close()
