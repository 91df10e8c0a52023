"""The underlay over IPv4: groups by IGMP, the outer TOS octet by IP_RECVTOS."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from vtep.underlay.base import GROUPS_A_SOCKET, Underlay

_IP_PKTINFO = 8
_IP_MTU_DISCOVER, _PMTUDISC_DO = 10, 2
# In the control data: IP_PKTINFO (16 bytes of header, 12 of data), then IP_TOS
_DESTINATION_AT, _TOS_AT = 24, 48
_NUMBER = struct.Struct("=i")
_MEMBERSHIPS = Path("/proc/sys/net/ipv4/igmp_max_memberships")


class Ipv4Underlay(Underlay):
    """One NIC of an IPv4 underlay."""

    family = socket.AF_INET

    def prepare_sender(self, sender: socket.socket) -> None:
        """Send multicast by this interface, without looping it back; never fragment."""
        membership = self._membership("0.0.0.0")
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)

    def prepare_receiver(self, receiver: socket.socket) -> None:
        """Request each datagram's destination and TOS."""
        receiver.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)

    def accept_zero_checksums(self) -> None:
        """Nothing to do: IPv4 always accepts them (RFC 768)."""

    def look(self, control: memoryview) -> tuple[bool, int]:
        """Read IP_PKTINFO and IP_TOS."""
        return control[_DESTINATION_AT] >> 4 == 0xE, control[_TOS_AT]

    def marks(self, packet: bytearray) -> list[tuple[int, int, bytes]]:
        """IP_TTL and IP_TOS."""
        return [
            (socket.IPPROTO_IP, socket.IP_TTL, _NUMBER.pack(packet[8])),
            (socket.IPPROTO_IP, socket.IP_TOS, _NUMBER.pack(packet[1])),
        ]

    def sender(self, name: memoryview) -> bytes:
        """The address in a struct sockaddr_in."""
        return bytes(name[4:8])

    def _membership(self, group: str) -> bytes:
        """struct ip_mreqn: any source, on this interface."""
        return struct.pack("=4s4si", socket.inet_aton(group), bytes(4), self.index)

    def change_membership(self, holder: socket.socket, group: str, join: bool) -> None:
        """Join or leave by IGMP."""
        if join:
            self._make_room()
        option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
        holder.setsockopt(socket.IPPROTO_IP, option, self._membership(group))

    def _make_room(self) -> None:
        """Raise the limit of memberships per socket, if permitted; else `join` reports it."""
        needed = min(len(self.joined) + 1, GROUPS_A_SOCKET)
        try:
            if int(_MEMBERSHIPS.read_text()) < needed:
                _MEMBERSHIPS.write_text(str(GROUPS_A_SOCKET))
                self.log(f"raised net.ipv4.igmp_max_memberships to {GROUPS_A_SOCKET}")
        except OSError:
            return

    def kernel_groups(self) -> set[str]:
        """Read /proc/net/igmp, where an address is a number in host byte order."""
        found, here = set(), False
        for line in Path("/proc/net/igmp").read_text().splitlines()[1:]:
            if not line.startswith("\t"):
                here = line.split()[0] == str(self.index)
            elif here:
                found.add(socket.inet_ntoa(struct.pack("=I", int(line.split()[0], 16))))
        return found
