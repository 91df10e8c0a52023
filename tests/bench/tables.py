"""Memory per table row and time per operation, for 10^3 to 10^6 rows."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from vtep.core import Core
from vtep.effects import PortId
from vtep.fastpath import layout
from vtep.fastpath.table import Table
from vtep.options import Options
from vtep.segments import SegmentSpec

SIZES = (1_000, 10_000, 100_000, 1_000_000)
_REMOTE, _OTHER = "192.0.2.12", "192.0.2.13"
_ALL_AGED_S = 1000.0
_SAMPLES = 20_000

Figures = dict[str, float]


def rows(count: int) -> Figures:
    """Bytes per row, new MACs per second, nanoseconds per operation; measured in a forked process.

    For comparison also the time of a look-up in a plain dict of the same size.
    """
    return _forked(lambda: _rows(count))


def _rows(count: int) -> Figures:
    core = Core(Options(local="192.0.2.11", limit=count))
    core.add_segment(SegmentSpec(10, PortId(0), None, "239.1.1.10"), 0.0)
    fdb = core.segments.by_vni[10].fdb
    gc.collect()
    gc.freeze()
    held = _resident()
    began = time.perf_counter()
    for number in range(count):
        fdb.learn(_mac(number), _REMOTE, None, number * 1e-6)
    learned_s = time.perf_counter() - began
    bytes_per_row = (_resident() - held) / count
    known = [_mac(number * 7919 % count) for number in range(_SAMPLES)]
    found = {
        "python_bytes_a_row": bytes_per_row,
        "map_bytes_a_row": _map_bytes(count),
        "learned_a_s": count / learned_s,
        "lookup_ns": _each_ns(known, fdb.lookup),
        "renew_ns": _each_ns(known, lambda mac: fdb.learn(mac, _REMOTE, None, 5.0)),
        "move_ns": _each_ns(known, lambda mac: fdb.learn(mac, _OTHER, None, 6.0)),
        "dict_ns": _each_ns(known, {_mac(number): _mac(number) for number in range(count)}.get),
    }
    began = time.perf_counter()
    core.expire(_ALL_AGED_S)
    return {**found, "age_ns": 1e9 * (time.perf_counter() - began) / count}


def _map_bytes(count: int) -> float:
    """Bytes of table memory per inserted row, at half load."""
    buckets = 1 << max(0, (2 * count // layout.SLOTS - 1).bit_length())
    words = memoryview(bytearray(buckets * layout.BUCKET_LENGTH)).cast("Q")
    table = Table(words, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))
    for number in range(min(count, 100_000)):
        table.set(layout.key(_mac(number), 1), number)
    inserted = table.rows / min(count, 100_000)
    return buckets * layout.BUCKET_LENGTH / (count * inserted)


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
    """The result of body(), run in a fork, so that its memory does not count for the next size."""
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
    with os.fdopen(ours) as result:
        text = result.read()
    os.waitpid(pid, 0)
    found: Figures = eval(text, {"__builtins__": {}})
    return found
