"""Small packets: the rate at full load, and the highest rate without loss (RFC 2544 section 26.1).

Processes that send and receive one datagram per system call would limit the rate themselves: with
few CPUs, such a receiver uses as much CPU time as the whole data path. Therefore the sender passes
many datagrams in one call (sendmmsg), and a socket filter makes the kernel count and drop each
datagram at the receiving socket, so that no receiver has to wake up.
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

from tests.bench.bed import BenchBed
from tests.bench.summary import highest_without_loss
from tests.support.poll import eventually, pause

SMALL = 64  # bytes of UDP payload
FULL_LOAD_S, TRIAL_S = 0.5, 1.0
# The share of a trial's packets that may still be in transit at its end. If it is larger, a queue
# is growing, and the rate cannot be sustained.
IN_TRANSIT = 0.01
TRIALS = 14
_BURST = 16  # datagrams per call
_BETWEEN_BURSTS_S = 0.0005
_FIRST_PPS = 16_000.0  # where the search starts: between slow and fast data paths
_DISCARD = ("10.0.0.2", 9)  # the discard port, RFC 863
_SO_ATTACH_FILTER, _SO_MEMINFO = 26, 55
_MEMINFO = struct.Struct("=9I")  # SK_MEMINFO_*; the last (DROPS) counts dropped datagrams
_DROP_ALL = struct.Struct("=HBBI").pack(0x06, 0, 0, 0)  # classic BPF "ret 0": drop every datagram
_SETTLED_WITHIN_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


class Trial(NamedTuple):
    """The result of one load."""

    offered: int  # packets
    arrived: int  # of them, by the end of sending
    lost: int  # of them, counted when no more arrived
    seconds: float

    @property
    def pps(self) -> float:
        """Packets per second that arrived."""
        return self.arrived / self.seconds

    @property
    def kept_up(self) -> bool:
        """Whether the path sustained the load: nothing was lost, and no queue was growing."""
        return self.lost == 0 and self.arrived >= (1 - IN_TRANSIT) * self.offered


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

    def __init__(self, bed: BenchBed) -> None:
        """Open the sender and the receiving socket."""
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
        """Close both sockets."""
        self._sender.close()
        self._sink.close()

    def offer(self, pps: float, seconds: float) -> Trial:
        """Send at a rate, or as fast as possible if that is slower, and count what arrives."""
        before, began = self._arrived(), time.perf_counter()
        offered, now = 0, began
        while now < began + seconds:
            if offered < (now - began) * pps:
                offered += self._send()
            else:
                pause(_BETWEEN_BURSTS_S)  # leave this CPU to the data path
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
        """Packets that the sink has counted so far; its filter drops them all."""
        counters = self._sink.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(counters)[-1])

    def _settled(self) -> int:
        """Packets that the sink has counted when no more arrive."""
        last = -1

        def is_constant() -> None:
            nonlocal last
            before, last = last, self._arrived()
            assert last == before, "packets are still arriving"

        eventually(is_constant, _SETTLED_WITHIN_S)
        return last


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def full_load(bed: BenchBed) -> dict[str, float]:
    """Packets per second that arrive when the sender sends as fast as it can, and the loss.

    If none is lost, this is also the rate without loss: the path runs in the sender's own context,
    so no higher rate can be offered.
    """
    with closing(Load(bed)) as load:
        trial = load.offer(math.inf, FULL_LOAD_S)
    return {"small_flat_out_pps": trial.pps, "small_flat_out_lost": trial.lost}


def without_loss(bed: BenchBed) -> dict[str, float]:
    """The highest rate without loss. It is searched for only if packets are lost at full load."""
    with closing(Load(bed)) as load:
        overloaded = load.offer(math.inf, FULL_LOAD_S)
        if not overloaded.lost:
            return {"small_searched_pps": overloaded.pps}
        rate = highest_without_loss(
            lambda pps: load.offer(pps, TRIAL_S).kept_up, _FIRST_PPS, TRIALS
        )
    return {"small_searched_pps": rate}


def lossless_pps(figures: dict[str, float]) -> float | None:
    """The rate without loss: at full load if nothing was lost, else the result of the search."""
    if figures.get("small_flat_out_lost") == 0:
        return figures["small_flat_out_pps"]
    return figures.get("small_searched_pps")
