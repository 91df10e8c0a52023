"""Receive many messages of a socket by one system call: recvmmsg(2).

Python's socket module does not have it. The kernel writes data, addresses and control data of the
messages to fixed places in memory, so reading one message takes a few look-ups and no call.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator

# (data, the sender's address, control data, flags): valid until the next call
Message = tuple[memoryview, memoryview, memoryview, int]

BATCH = 64  # messages of one descriptor before the others are served
_DONT_WAIT = 0x40
_NAME, _CONTROL = 32, 128  # bytes of an address, and of control data
# struct mmsghdr where pointers have 64 bits: name and its length, vectors and how many, control
# data and its length, flags; length
_HEADER = struct.Struct("=QI4xQQQQi4xI4x")
_WORDS = _HEADER.size // 4
_FLAGS_AT, _LENGTH_AT = 12, 14  # in words of 32 bits
_VECTOR = struct.Struct("=QQ")

_libc = ctypes.CDLL(None, use_errno=True)


class _Memory:
    """Anonymous memory in equal parts; the kernel allocates a page when it is first written."""

    def __init__(self, parts: int, length: int) -> None:
        self._length = length
        self.held = mmap.mmap(-1, parts * length, flags=mmap.MAP_PRIVATE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self.held))
        whole = memoryview(self.held)
        self.parts = [whole[at : at + length] for at in range(0, parts * length, length)]

    def address(self, part: int = 0) -> int:
        return self._address + part * self._length


class ReceiveBatch:
    """Buffers for a fixed number of messages of at most `length` bytes each."""

    def __init__(self, length: int, messages: int = BATCH) -> None:
        self._messages = messages
        self._data, self._names = _Memory(messages, length), _Memory(messages, _NAME)
        self._control = _Memory(messages, _CONTROL)
        self._vectors = _Memory(messages, _VECTOR.size)
        self._headers = _Memory(1, messages * _HEADER.size)
        for number, vector in enumerate(self._vectors.parts):
            _VECTOR.pack_into(vector, 0, self._data.address(number), length)
        self._fresh = b"".join(self._header(number) for number in range(messages))
        self._words = self._headers.parts[0].cast("I")
        self._places = list(
            zip(self._data.parts, self._names.parts, self._control.parts, strict=True)
        )

    def _header(self, number: int) -> bytes:
        """The header of one message, as the kernel expects it before each call."""
        return _HEADER.pack(
            self._names.address(number), _NAME, self._vectors.address(number), 1,
            self._control.address(number), _CONTROL, 0, 0,
        )  # fmt: skip

    def receive(self, descriptor: int) -> Iterator[Message]:
        """The messages that wait at a socket, as many as there are buffers.

        BlockingIOError if there are none; OSError for an error that the socket reports.
        """
        self._headers.parts[0][:] = self._fresh
        count = _libc.recvmmsg(
            descriptor, ctypes.c_void_p(self._headers.address()), self._messages, _DONT_WAIT, None
        )
        if count < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        words, at = self._words, 0
        for data, name, control in self._places[:count]:
            yield data[: words[at + _LENGTH_AT]], name, control, words[at + _FLAGS_AT]
            at += _WORDS
