"""Turn a network interface's send offloads off (ethtool's ioctl)."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17  # checksums; segmentation offloads depend on them and go too


def without_send_offloads(interface: str) -> None:
    """Let the kernel finish checksums and cut super-frames before the interface gets them."""
    value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        fcntl.ioctl(asker, _SIOCETHTOOL, struct.pack("16sP", interface.encode(), address))
