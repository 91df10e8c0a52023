"""A TAP interface: the fast path redirects a frame to it, and the agent reads the frame from it.

It is opened without IFF_VNET_HDR and offloads, so the kernel completes checksums and segments
super-frames before it hands them to the agent. IPv6 and ARP are off, so that the kernel itself
sends nothing on it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from vtep.drops import DropReason
from vtep.ethernet import is_tagged
from vtep.ports.packet import Frame
from vtep.recvmmsg import BATCH

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_SIOCSIFFLAGS, _SIOCGIFINDEX, _SIOCSIFTXQLEN, _SIOCSIFMTU = 0x8914, 0x8933, 0x8943, 0x8922
_REQUEST = struct.Struct("16si20x")
_FLAGS = struct.Struct("16sH22x")
_QUEUE = 8192  # frames
_LARGEST_MTU = 65_521
_LONGEST_READ = 1 << 16
_COUNTERS = Path("/proc/self/net/dev")
_VLAN_MASK = 0x0FFF
_TAGGED_LENGTH = 18
_DROPPED_COLUMN = 11  # after 8 receive counters and transmitted bytes, packets and errors


class Tap:
    """One TAP interface. The kernel removes it when it is closed or its process ends."""

    def __init__(self) -> None:
        """Create the interface; OSError if /dev/net/tun cannot be opened or refuses it."""
        self._fd = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            request = _FLAGS.pack(b"vxtap%d", _IFF_TAP | _IFF_NO_PI)
            self.name = _name(fcntl.ioctl(self._fd, _TUNSETIFF, request))
            self._configure()
        except OSError:
            os.close(self._fd)
            raise
        self._dropped = 0

    def _configure(self) -> None:
        silent = Path(f"/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6")
        if silent.exists():
            silent.write_text("1")
        name = self.name.encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            fcntl.ioctl(asker, _SIOCSIFTXQLEN, _REQUEST.pack(name, _QUEUE))
            fcntl.ioctl(asker, _SIOCSIFMTU, _REQUEST.pack(name, _LARGEST_MTU))
            fcntl.ioctl(asker, _SIOCSIFFLAGS, _FLAGS.pack(name, _IFF_UP | _IFF_NOARP))
            answer = fcntl.ioctl(asker, _SIOCGIFINDEX, _REQUEST.pack(name, 0))
        self.index = int(_REQUEST.unpack(answer)[1])

    def fileno(self) -> int:
        """For selectors."""
        return self._fd

    def read(self) -> Iterator[bytes]:
        """Read the waiting frames, up to a batch of them."""
        for _ in range(BATCH):
            try:
                yield os.read(self._fd, _LONGEST_READ)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EBADFD:  # the interface was set down or removed
                    return
                raise

    def overrun(self) -> int:
        """How many frames were lost since the last call because the queue was full."""
        for line in _COUNTERS.read_text().splitlines():
            name, _, counters = line.partition(":")
            if name.strip() == self.name:
                total = int(counters.split()[_DROPPED_COLUMN])
                fresh, self._dropped = total - self._dropped, total
                return max(0, fresh)
        return 0

    def close(self) -> None:
        """Remove the interface."""
        os.close(self._fd)


class PortTap:
    """The frames of a port that the fast path left to the agent."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap

    def fileno(self) -> int:
        """For selectors."""
        return self.tap.fileno()

    def read(self) -> Iterator[Frame | DropReason]:
        """Read the waiting frames with their VLAN.

        The kernel keeps a VLAN tag in the metadata of a packet and inserts it again before a TAP is
        read, so it is removed here.
        """
        for frame in self.tap.read():
            if is_tagged(frame) and len(frame) >= _TAGGED_LENGTH:
                vlan = int.from_bytes(frame[14:16], "big") & _VLAN_MASK
                yield vlan or None, frame[:12] + frame[16:]
            else:
                yield None, frame


def _name(request: bytes) -> str:
    return request[:16].partition(b"\0")[0].decode()
