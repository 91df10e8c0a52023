"""What rows cost, in Python and in the maps, and the core's work, from 10^3 to 10^6 rows."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.summary import median
from vtep.core import Core
from vtep.effects import PortId
from vtep.fastpath import layout
from vtep.fastpath.table import Table
from vtep.options import Options
from vtep.segments import Carried

SIZES = (1_000, 10_000, 100_000, 1_000_000)
_REMOTE = "192.0.2.12"
_SAMPLES = 20_000
_FLOODS = 200
_MANY_VNIS, _MANY_ROWS = 1_000, 100_000

Figures = dict[str, float]


def rows(count: int) -> Figures:
    """Bytes a row, new MACs a second, nanoseconds a look-up and a renewal; in a process apart."""
    return _forked(lambda: _rows(count))


def _rows(count: int) -> Figures:
    core = _core(1, count)
    fdb = core.segments.by_vni[10].fdb
    gc.collect()
    gc.freeze()
    held = _resident()
    began = time.perf_counter()
    for number in range(count):
        fdb.learn(_mac(number), _REMOTE, None, number * 1e-6)
    learned_s = time.perf_counter() - began
    bytes_a_row = (_resident() - held) / count
    known = [_mac(number * 7919 % count) for number in range(_SAMPLES)]
    return {
        "python_bytes_a_row": bytes_a_row,
        "map_bytes_a_row": _map_bytes(count),
        "learned_a_s": count / learned_s,
        "lookup_ns": _each_ns(known, fdb.lookup),
        "renew_ns": _each_ns(known, lambda mac: fdb.learn(mac, _REMOTE, None, 5.0)),
    }


def _map_bytes(count: int) -> float:
    """The table's memory by the rows that it took, at half load."""
    buckets = 1 << max(0, (2 * count // layout.SLOTS - 1).bit_length())
    words = memoryview(bytearray(buckets * layout.BUCKET_LENGTH)).cast("Q")
    table = Table(words, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))
    for number in range(min(count, 100_000)):
        table.set(layout.key(_mac(number), 1), number)
    taken = table.rows / min(count, 100_000)
    return buckets * layout.BUCKET_LENGTH / (count * taken)


def flood() -> Figures:
    """Microseconds of the core's work on a first packet: a new MAC's broadcast, median.

    Beside it with 10^5 rows and 1,000 VNIs in the tables.
    """
    return {
        "flood_core_us": _flood_us(_core(1, 65_536), 1),
        "flood_core_full_us": _flood_us(_filled(), _MANY_VNIS),
    }


def _flood_us(core: Core, vnis: int) -> float:
    times = []
    for number in range(_FLOODS):
        frame = b"\xff" * 6 + _mac(0x800000 + number) + b"\x08\x06" + bytes(46)
        began = time.perf_counter()
        list(core.frame_from_port(PortId(0), 1 + number % vnis, frame, 10.0))
        times.append(1e6 * (time.perf_counter() - began))
    return median(times)


def _core(vnis: int, limit: int) -> Core:
    core = Core(Options(local="192.0.2.11", limit=limit))
    for number in range(vnis):
        group = f"239.1.{number >> 8}.{number & 255}"
        core.add_segment(Carried(10 + number, PortId(0), 1 + number, group), 0.0)
    return core


def _filled() -> Core:
    core = _core(_MANY_VNIS, _MANY_ROWS)
    segments = list(core.segments.by_vni.values())
    for number in range(_MANY_ROWS):
        segments[number % _MANY_VNIS].fdb.learn(_mac(number), _REMOTE, None, 1.0)
    return core


def _mac(number: int) -> bytes:
    return b"\x02\xaa" + number.to_bytes(4, "big")


def _each_ns(macs: list[bytes], act: Callable[[bytes], object]) -> float:
    began = time.perf_counter()
    for mac in macs:
        act(mac)
    return 1e9 * (time.perf_counter() - began) / len(macs)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _forked(body: Callable[[], Figures]) -> Figures:
    """What a body answers in a fork: the memory of one does not count for the next."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(theirs, repr(body()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours) as said:
        text = said.read()
    os.waitpid(pid, 0)
    found: Figures = eval(text, {"__builtins__": {}})
    return found
