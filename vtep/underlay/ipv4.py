"""The tunnel side over IPv4: the kernel does ARP, routing, multicast MACs and IGMP.

Sending: a raw socket, since each packet brings its own IPv4 and UDP header. Receiving: a UDP
socket, so that the kernel checks checksums and puts fragments together. Groups: joined for any
source on sockets of their own, since one socket holds only some hundreds.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from vtep.drops import DropReason
from vtep.errors import StartError

Datagram = tuple[str, int, bool, bytes]  # (sender, source port, came to a group, payload)

_RECEIVE_BUFFER = 16 << 20
_SO_RCVBUFFORCE = 33
_SEND_BUFFER = 4 << 20
_LARGEST = 65_536
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")  # the last is SK_MEMINFO_DROPS
_IP_PKTINFO = 8
_IP_MTU_DISCOVER, _PMTUDISC_DO = 10, 2
_SIOCGIFMTU = 0x8921
_GROUPS_A_SOCKET = 200
_MEMBERSHIPS = Path("/proc/sys/net/ipv4/igmp_max_memberships")


class Ipv4Underlay:
    """One NIC of the underlay."""

    def __init__(self, interface: str, local: str, port: int, say: Callable[[str], None]) -> None:
        """Open it; StartError names cause and cure. say: tells the log of a changed limit."""
        self._say = say
        self.interface = interface
        self.local = local
        try:
            self.index = socket.if_nametoindex(interface)
        except OSError:
            raise StartError(f"underlay {interface}: no such interface") from None
        try:
            self._sender = self._open_sender()
        except PermissionError:
            raise StartError(f"underlay {interface}: needs root, or CAP_NET_RAW") from None
        self._check_local()
        self._receiver = self._open_receiver(port)
        self._member_sockets: list[socket.socket] = []
        self._joined: dict[str, socket.socket] = {}
        self._buffer = bytearray(_LARGEST)
        self._view = memoryview(self._buffer)
        self._lost = 0  # datagrams, as told so far

    def _open_sender(self) -> socket.socket:
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode())
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, self._membership("0.0.0.0"))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)
        return sender

    def _check_local(self) -> None:
        """A mistyped address would send packets that nobody can answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((self.local, 0))
            except OSError:
                raise StartError(
                    f"underlay.local {self.local}: no address of this host; "
                    f"`ip address add {self.local}/24 dev {self.interface}` gives it one"
                ) from None

    def _open_receiver(self, port: int) -> socket.socket:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        try:
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            pass  # within net.core.rmem_max, then
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode())
        receiver.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        try:
            receiver.bind(("", port))
        except OSError as error:
            raise StartError(
                f"underlay.port {port}: {error.strerror}; "
                "another VTEP or a kernel vxlan device uses it"
            ) from None
        return receiver

    def _membership(self, group: str) -> bytes:
        """struct ip_mreqn: any source, on this interface."""
        return struct.pack("=4s4si", socket.inet_aton(group), bytes(4), self.index)

    @property
    def mtu(self) -> int:
        """The interface's MTU in bytes."""
        request = struct.pack("16si", self.interface.encode(), 0)
        answer = fcntl.ioctl(self._receiver, _SIOCGIFMTU, request)
        return int(struct.unpack("16si", answer)[1])

    def fileno(self) -> int:
        """For selectors."""
        return self._receiver.fileno()

    # -- packets

    def send(self, destination: str, packet: bytes | bytearray) -> DropReason | None:
        """Send one IPv4 packet; the reason if it could not be."""
        try:
            self._sender.sendto(packet, (destination, 0))
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return DropReason.TOO_BIG
            busy = error.errno in (errno.EAGAIN, errno.ENOBUFS)
            return DropReason.UNDERLAY_BUSY if busy else DropReason.UNDERLAY_UNREACHABLE
        return None

    def receive(self, limit: int) -> Iterator[Datagram]:
        """Up to `limit` datagrams that wait."""
        for _ in range(limit):
            try:
                length, extras, _, sender = self._receiver.recvmsg_into([self._buffer], 96)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier packet; reading it clears it
            to_group = False
            for level, kind, value in extras:
                if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                    to_group = 0xE0 <= value[8] <= 0xEF  # the destination of the header
            yield sender[0], sender[1], to_group, bytes(self._view[:length])

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
        self._make_room(len(self._joined) + 1)
        if len(self._joined) >= len(self._member_sockets) * _GROUPS_A_SOCKET:
            self._member_sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        holder = min(self._member_sockets, key=list(self._joined.values()).count)
        try:
            holder.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, self._membership(group))
        except OSError as error:
            raise StartError(
                f"group {group}: {error.strerror}; `sysctl net.ipv4.igmp_max_memberships="
                f"{len(self._joined) + 20}` allows more"
            ) from None
        self._joined[group] = holder

    def _make_room(self, groups: int) -> None:
        """Raise the limit of memberships a socket, if we may; join tells if it is too low."""
        wanted = min(groups, _GROUPS_A_SOCKET)
        try:
            if int(_MEMBERSHIPS.read_text()) < wanted:
                _MEMBERSHIPS.write_text(str(_GROUPS_A_SOCKET))
                self._say(f"raised net.ipv4.igmp_max_memberships to {_GROUPS_A_SOCKET}")
        except OSError:
            return

    def leave(self, group: str) -> None:
        """Cease to be a member."""
        holder = self._joined.pop(group)
        try:
            holder.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, self._membership(group))
        except OSError:
            return  # the interface is gone, and the membership with it

    def kernel_groups(self) -> set[str]:
        """The groups the kernel has on this interface (/proc/net/igmp): the truth about joins."""
        found, here = set(), False
        for line in Path("/proc/net/igmp").read_text().splitlines()[1:]:
            if not line.startswith("\t"):
                here = line.split()[0] == str(self.index)
            elif here:
                found.add(_from_proc(line.split()[0]))
        return found

    def close(self) -> None:
        """Close all sockets; memberships go with them."""
        for opened in (self._sender, self._receiver, *self._member_sockets):
            opened.close()


def _from_proc(text: str) -> str:
    """An address as /proc/net writes it: a number in host byte order."""
    return socket.inet_ntoa(struct.pack("=I", int(text, 16)))
