"""The underlay over IPv6: groups by MLD, the outer traffic class by IPV6_RECVTCLASS."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from vtep.underlay.base import Underlay

_IPV6_HDRINCL, _IPV6_AUTOFLOWLABEL = 36, 70
_UDP_NO_CHECK6_RX = 102
# In the control data: IPV6_PKTINFO (16 bytes of header, 20 of data, padding), then IPV6_TCLASS
_DESTINATION_AT, _CLASS_AT = 16, 56
_NUMBER = struct.Struct("=i")
_IPV6_MTU_DISCOVER, _PMTUDISC_DO = 23, 2


class Ipv6Underlay(Underlay):
    """One NIC of an IPv6 underlay."""

    family = socket.AF_INET6

    def prepare_sender(self, sender: socket.socket) -> None:
        """Send multicast by this interface, without looping it back; never fragment."""
        if sender.type == socket.SOCK_RAW:
            sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
        else:  # flow label 0, like the headers that `wire` builds
            sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_AUTOFLOWLABEL, 0)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self.index)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DO)

    def prepare_receiver(self, receiver: socket.socket) -> None:
        """Request each datagram's destination and traffic class; receive no IPv4."""
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)

    def accept_zero_checksums(self) -> None:
        """RFC 6935 permits zero checksums for tunnels."""
        self._receiver.setsockopt(socket.IPPROTO_UDP, _UDP_NO_CHECK6_RX, 1)

    def look(self, control: memoryview) -> tuple[bool, int]:
        """Read IPV6_PKTINFO and IPV6_TCLASS."""
        (octet,) = _NUMBER.unpack_from(control, _CLASS_AT)
        return control[_DESTINATION_AT] == 0xFF, octet

    def marks(self, packet: bytearray) -> list[tuple[int, int, bytes]]:
        """IPV6_HOPLIMIT and IPV6_TCLASS."""
        octet = (packet[0] & 0x0F) << 4 | packet[1] >> 4
        return [
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, _NUMBER.pack(packet[7])),
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _NUMBER.pack(octet)),
        ]

    def sender(self, name: memoryview) -> bytes:
        """The address in a struct sockaddr_in6."""
        return bytes(name[8:24])

    def change_membership(self, holder: socket.socket, group: str, join: bool) -> None:
        """Join or leave by MLD."""
        option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
        packed = socket.inet_pton(socket.AF_INET6, group)
        holder.setsockopt(socket.IPPROTO_IPV6, option, struct.pack("=16si", packed, self.index))

    def kernel_groups(self) -> set[str]:
        """Read /proc/net/igmp6: index, device, group in hexadecimal, ..."""
        rows = (line.split() for line in Path("/proc/net/igmp6").read_text().splitlines())
        return {
            socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[2]))
            for row in rows
            if row[0] == str(self.index)
        }
