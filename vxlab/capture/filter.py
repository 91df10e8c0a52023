"""Capture filters in libpcap's language, compiled to classic BPF for the kernel.

The expression is compiled for a live interface, as tcpdump does it: the kernel keeps the 802.1Q
tag of a received frame beside the bytes, and only a live handle makes `vlan` look there.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vxlab.errors import LabError, UsageError

_SO_ATTACH_FILTER = 26
_ANY_NETMASK = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN
_SNAPSHOT = 262144  # libpcap's own maximum: the program's return value must not cut packets
_ERROR_BUFFER = 256  # PCAP_ERRBUF_SIZE
_LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1")  # Debian's name, everybody else's

# BPF_RET | BPF_K with 0: accept nothing.
NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)


class _Program(ctypes.Structure):
    """struct bpf_program: a counted array of 8-byte instructions."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def _libpcap() -> Any:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_create.restype = ctypes.c_void_p
        library.pcap_geterr.restype = ctypes.c_char_p
        return library
    raise LabError("--filter: libpcap is not installed; `sudo apt-get install libpcap0.8`")


@contextmanager
def _live(library: Any, interface: str) -> Iterator[ctypes.c_void_p]:
    reason = ctypes.create_string_buffer(_ERROR_BUFFER)
    handle = ctypes.c_void_p(library.pcap_create(interface.encode(), reason))
    if not handle:
        raise LabError(f"{interface}: {reason.value.decode()}")
    try:
        library.pcap_set_snaplen(handle, _SNAPSHOT)
        if library.pcap_activate(handle) < 0:
            raise LabError(f"{interface}: {library.pcap_geterr(handle).decode()}")
        yield handle
    finally:
        library.pcap_close(handle)


def compile_filter(expression: str, interface: str) -> bytes:
    """The instructions of an expression, for an interface of this network namespace.

    UsageError has libpcap's own message if the expression is invalid.
    """
    library = _libpcap()
    program = _Program()
    with _live(library, interface) as handle:
        arguments = (ctypes.byref(program), expression.encode(), 1, ctypes.c_uint(_ANY_NETMASK))
        if library.pcap_compile(handle, *arguments) != 0:
            message = library.pcap_geterr(handle).decode()
            example = "write for example 'udp port 4789'"
            raise UsageError(f"--filter {expression!r}: {message}; {example}")
    try:
        return ctypes.string_at(program.instructions or 0, program.length * 8)
    finally:
        library.pcap_freecode(ctypes.byref(program))


def attach(target: socket.socket, program: bytes) -> None:
    """Let a packet socket receive only what the program accepts, from now on."""
    instructions = ctypes.create_string_buffer(program, len(program))
    count = len(program) // 8
    pointer = ctypes.addressof(instructions)
    # struct sock_fprog; the kernel copies the program before the call returns.
    target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", count, pointer))
