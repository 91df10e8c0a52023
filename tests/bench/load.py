"""Small packets: as many as can be offered, and the most of which none is lost (RFC 2544, 26.1).

Two processes that read and write datagrams one by one would bound the rate themselves: on few CPUs
a receiver takes as much as the whole data path. So a sender hands the kernel many datagrams by one
call, and the socket they are for counts and drops each, without anybody woken.
"""

from __future__ import annotations

import ctypes
import math
import os
import socket
import struct
import time
from contextlib import closing
from typing import NamedTuple

from tests.bench.bed import Bed
from tests.bench.summary import highest_without_loss
from tests.support.poll import eventually, pause

SMALL = 64  # bytes of UDP payload
FLAT_OUT_S, TRIAL_S = 0.5, 1.0
UNDER_WAY = 0.01  # of a trial's packets, at its end: more, and the path's queues are filling
TRIALS = 14
_BURST = 16  # datagrams of one call
_BETWEEN_BURSTS_S = 0.0005
_FIRST_PPS = 16_000.0  # between what slow paths and fast ones carry
_DISCARD = ("10.0.0.2", 9)  # RFC 863
_SO_ATTACH_FILTER, _SO_MEMINFO = 26, 55
_MEMINFO = struct.Struct("=9I")  # the last is what the socket dropped
_DROP_ALL = struct.Struct("=HBBI").pack(0x06, 0, 0, 0)  # BPF: return 0, keep nothing
_SETTLED_WITHIN_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


class Trial(NamedTuple):
    """What became of a load."""

    offered: int  # packets
    arrived: int  # of them, by the end of the offering
    lost: int  # of them, when all had come to rest
    seconds: float

    @property
    def pps(self) -> float:
        """Packets a second that arrived."""
        return self.arrived / self.seconds

    @property
    def kept_up(self) -> bool:
        """Whether the path took the load: none was lost, and no queue was filling."""
        return self.lost == 0 and self.arrived >= (1 - UNDER_WAY) * self.offered


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p), ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("length", ctypes.c_uint),
    )  # fmt: skip


class Load:
    """A flow of small packets from one VM of a bed to the other."""

    def __init__(self, bed: Bed) -> None:
        """Open its two ends."""
        self._sender = bed.socket_in("vm1", _datagrams)
        self._sender.connect(_DISCARD)
        self._sink = bed.socket_in("vm2", _datagrams)
        self._sink.bind(_DISCARD)
        code = ctypes.create_string_buffer(_DROP_ALL)
        program = struct.pack("HP", 1, ctypes.addressof(code))
        self._sink.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._payload = ctypes.create_string_buffer(SMALL)
        self._vector = _Vector(ctypes.addressof(self._payload), SMALL)
        self._messages = (_Message * _BURST)()
        for message in self._messages:
            message.vectors, message.vector_count = ctypes.addressof(self._vector), 1

    def close(self) -> None:
        """Close both ends."""
        self._sender.close()
        self._sink.close()

    def offer(self, pps: float, seconds: float) -> Trial:
        """Send at a rate, or at what can be reached of it, and see what arrives."""
        before, began = self._arrived(), time.perf_counter()
        offered, now = 0, began
        while now < began + seconds:
            if offered < (now - began) * pps:
                offered += self._send()
            else:
                pause(_BETWEEN_BURSTS_S)  # the path may need this CPU
            now = time.perf_counter()
        arrived = self._arrived() - before
        return Trial(offered, arrived, offered - (self._settled() - before), now - began)

    def _send(self) -> int:
        sent = int(_libc.sendmmsg(self._sender.fileno(), self._messages, _BURST, 0))
        if sent < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return sent

    def _arrived(self) -> int:
        """Packets that the sink has counted, and dropped, so far."""
        told = self._sink.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(told)[-1])

    def _settled(self) -> int:
        """The same, when nothing is under way any more."""
        last = -1

        def stands_still() -> None:
            nonlocal last
            before, last = last, self._arrived()
            assert last == before, "packets still arrive"

        eventually(stands_still, _SETTLED_WITHIN_S)
        return last


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def flat_out(bed: Bed) -> dict[str, float]:
    """Packets a second that arrive of as many as can be offered, and how many are lost on the way.

    Where none is, that rate is without loss as well: the path works in the sender's own time, and
    no higher rate can be offered to it.
    """
    with closing(Load(bed)) as load:
        trial = load.offer(math.inf, FLAT_OUT_S)
    return {"small_flat_out_pps": trial.pps, "small_flat_out_lost": trial.lost}


def without_loss(bed: Bed) -> dict[str, float]:
    """The most packets a second of which none is lost, looked for where some are flat out."""
    with closing(Load(bed)) as load:
        flooded = load.offer(math.inf, FLAT_OUT_S)
        if not flooded.lost:
            return {"small_searched_pps": flooded.pps}
        rate = highest_without_loss(
            lambda pps: load.offer(pps, TRIAL_S).kept_up, _FIRST_PPS, TRIALS
        )
    return {"small_searched_pps": rate}


def lossless_pps(figures: dict[str, float]) -> float | None:
    """The rate without loss: flat out where none was lost, else the one that was found."""
    if figures.get("small_flat_out_lost") == 0:
        return figures["small_flat_out_pps"]
    return figures.get("small_searched_pps")
