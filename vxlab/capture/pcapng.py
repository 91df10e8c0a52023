"""Packets as a pcapng file that Wireshark opens, with interface names, directions, nanoseconds.

The blocks are written here because Scapy's writer keeps time stamps in a float, which cannot hold
the nanoseconds of a date. Format: draft-ietf-opsawg-pcapng, sections 4.1 to 4.3.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from vxlab.capture.packets import CapturedPacket
from vxlab.errors import LabError

_ETHERNET = 1  # LINKTYPE_ETHERNET
_NANOSECONDS = 9  # if_tsresol: time stamps count units of 10^-9 s
_NO_LIMIT = 0  # snapshot length: packets are whole

_SECTION_HEADER, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_UNKNOWN_LENGTH = -1
_OPT_END, _IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL, _EPB_FLAGS = 0, 2, 3, 9, 2


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12  # type, and the length at both ends
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def section_header() -> bytes:
    """The block at the beginning of a file."""
    body = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH)
    return _block(_SECTION_HEADER, body)


def interface_description(node: str, interface: str) -> bytes:
    """The block that introduces an interface; packets refer to it by its position."""
    options = (
        _option(_IF_NAME, interface.encode())
        + _option(_IF_DESCRIPTION, node.encode())
        + _option(_IF_TSRESOL, bytes([_NANOSECONDS]))
        + _option(_OPT_END, b"")
    )
    return _block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, _NO_LIMIT) + options)


def enhanced_packet(index: int, captured: CapturedPacket) -> bytes:
    """The block of one packet; index: the position of its interface."""
    length = len(captured.data)
    high, low = captured.time_ns >> 32, captured.time_ns & 0xFFFFFFFF
    body = struct.pack("<IIIII", index, high, low, length, length) + _padded(captured.data)
    direction = _option(_EPB_FLAGS, struct.pack("<I", captured.direction))
    return _block(_ENHANCED_PACKET, body + direction + _option(_OPT_END, b""))


class Recorder:
    """Writes one file as packets arrive; each is in the file when `write` returns.

    LabError names the file if it cannot be written. BrokenPipeError is passed on: a reader of
    standard output that has left is not an error.
    """

    def __init__(self, path: str) -> None:
        """path: a file, or "-" for standard output."""
        self._path = "standard output" if path == "-" else path
        self._indexes: dict[tuple[str, str], int] = {}
        try:
            # Unbuffered: nothing is left that could fail when the file is closed.
            target = os.dup(1) if path == "-" else path
            self._file = open(target, "wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise LabError(f"{self._path}: {error.strerror}") from None
        self._write(section_header())

    def write(self, captured: CapturedPacket) -> None:
        """Append one packet."""
        key = captured.node, captured.interface
        blocks = b""
        if key not in self._indexes:
            blocks = interface_description(*key)
        index = self._indexes.setdefault(key, len(self._indexes))
        self._write(blocks + enhanced_packet(index, captured))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:  # a pipe may take less than all of it
                rest = rest[self._file.write(rest) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise LabError(f"{self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def save(path: Path, captured_packets: list[CapturedPacket]) -> None:
    """Write a list of packets as one file."""
    recorder = Recorder(str(path))
    try:
        for captured in captured_packets:
            recorder.write(captured)
    finally:
        recorder.close()
