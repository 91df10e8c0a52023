"""What the two address families have in common: sockets, buffers, losses, memberships.

Sending: a raw socket, since each packet brings its own IP and UDP header. Receiving: a UDP socket,
so that the kernel checks checksums and puts fragments together. Groups: joined for any source on
sockets of their own, since one socket holds only some hundreds. The kernel does neighbour
resolution, routing, multicast MACs, IGMP and MLD.
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

# (sender, source port, came to a group, traffic class, payload)
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
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17  # checksums; what depends on them goes too
_UDP_GRO = 104
_TYPE_AT = 12  # in a control message
_MERGED = struct.Struct("=16xi4x")  # a control message that bears a number
GROUPS_A_SOCKET = 200


class Underlay(ABC):
    """One NIC of the underlay."""

    family: socket.AddressFamily

    def __init__(self, interface: str, local: str, port: int, say: Callable[[str], None]) -> None:
        """Open it; StartError names cause and cure. say: tells the log of a changed limit."""
        self.say = say
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
            pass  # within net.core.rmem_max, then
        self.prepare_receiver(self._receiver)
        self._bind(port)
        self._holders: list[socket.socket] = []
        self.joined: dict[str, socket.socket] = {}
        self._batch = ReceiveBatch(_LARGEST)
        self._texts: dict[bytes, str] = {}  # addresses of senders
        self._lost = 0  # datagrams, as told so far

    def _check_local(self, local: str) -> None:
        """A mistyped address would send packets that nobody can answer."""
        with socket.socket(self.family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((local, 0))
            except OSError:
                raise StartError(
                    f"underlay.local {local}: no address of this host; "
                    f"`ip address add {local}/24 dev {self.interface}` gives it one"
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
        """Let the kernel finish checksums and cut super-frames before the interface gets them.

        OSError if it will not.
        """
        value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
        address, _ = value.buffer_info()
        request = struct.pack("16sP", self.interface.encode(), address)
        fcntl.ioctl(self._receiver, _SIOCETHTOOL, request)

    def fileno(self) -> int:
        """For selectors."""
        return self._receiver.fileno()

    # -- what differs between the families

    @abstractmethod
    def prepare_sender(self, sender: socket.socket) -> None:
        """Options of a socket that sends: the raw one, or one of UDP."""

    @abstractmethod
    def prepare_receiver(self, receiver: socket.socket) -> None:
        """Options of the UDP socket."""

    @abstractmethod
    def look(self, control: memoryview) -> tuple[bool, int]:
        """From a datagram's control messages: whether it came to a group, and its traffic class."""

    @abstractmethod
    def marks(self, packet: bytearray) -> list[tuple[int, int, bytes]]:
        """Control messages that give what a UDP socket sends the TTL and class of a packet."""

    @abstractmethod
    def sender(self, name: memoryview) -> bytes:
        """The address in a socket address."""

    @abstractmethod
    def change_membership(self, holder: socket.socket, group: str, join: bool) -> None:
        """Join or leave for any source; OSError if the kernel will not."""

    @abstractmethod
    def kernel_groups(self) -> set[str]:
        """The groups the kernel has on this interface: the truth about joins."""

    @abstractmethod
    def accept_zero_checksums(self) -> None:
        """Receive datagrams without a checksum too."""

    # -- packets

    def send(self, destination: str, packet: bytes | bytearray) -> DropReason | None:
        """Send one IP packet; the reason if it could not be."""
        try:
            self._sender.sendto(packet, (destination, 0))
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return DropReason.TOO_BIG
            busy = error.errno in (errno.EAGAIN, errno.ENOBUFS)
            return DropReason.UNDERLAY_BUSY if busy else DropReason.UNDERLAY_UNREACHABLE
        return None

    def receive(self) -> Iterator[Datagram]:
        """The datagrams that wait, up to a batch of them."""
        try:
            for data, name, control, _ in self._batch.receive(self._receiver.fileno()):
                size = 0
                if control[_TYPE_AT] == _UDP_GRO:  # it comes first
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
            return  # nothing waits, or an ICMP error of an earlier packet; reading it cleared it

    def take_merged(self) -> None:
        """Receive runs of datagrams with checksums as one, if this kernel can (UDP_GRO)."""
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
        """How many datagrams were lost before they were read, since the last call.

        Not by SO_RXQ_OVFL: with hardened usercopy, kernels up to 6.2 kill who reads its control
        message of a datagram that a local TCP socket sent into a tunnel.
        """
        found = self._receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        total: int = _MEMINFO.unpack(found)[-1]
        fresh, self._lost = (total - self._lost) & 0xFFFFFFFF, total
        return fresh

    # -- groups

    def join(self, group: str) -> None:
        """Become a member; the kernel reports it. StartError names the limit that forbids it."""
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
        """Cease to be a member."""
        try:
            self.change_membership(self.joined.pop(group), group, join=False)
        except OSError:
            return  # the interface is gone, and the membership with it

    def close(self) -> None:
        """Close all sockets; memberships go with them."""
        for opened in (self._sender, self._receiver, *self._holders):
            opened.close()
