"""Measurements on one bed: TCP, CPU, round trips, first packets."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median_grouped
from typing import Any

from tests.bench.bed import BenchBed
from tests.bench.summary import median, percentile
from tests.support.poll import eventually
from vxlab.errors import LabError

TCP_S, OMITTED_S = 2, 1
PINGS = 100
FIRST_FRAMES = 200
_WITHIN_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")
_TEST_TYPE = b"\x88\xb5"

Figures = dict[str, float]


def tcp(bed: BenchBed) -> Figures:
    """Gbit/s of one stream and of four, in both directions; CPU seconds of the machine per GB."""
    found: Figures = {}
    with _server(bed):
        for streams in (1, 4):
            for direction, flag in (("out", []), ("back", ["-R"])):
                before = _busy_s()
                options = ["-t", str(TCP_S), "-O", str(OMITTED_S), "-P", str(streams), *flag]
                end = _iperf3(bed, *options)["end"]["sum_received"]
                spent = _busy_s() - before
                found[f"tcp_{streams}_{direction}_gbit_s"] = end["bits_per_second"] / 1e9
                if (streams, direction) == (1, "out"):
                    sent = end["bytes"] * (TCP_S + OMITTED_S) / TCP_S
                    found["cpu_s_per_gb"] = spent / (sent / 1e9)
    return found


def round_trips(bed: BenchBed) -> Figures:
    """Round-trip times in microseconds: of back-to-back pings, and of pings 4 ms apart.

    Between pings 4 ms apart the CPU's caches get cold, so these depend more on the machine's other
    load. ping prints whole microseconds, and a round trip may take only five. Therefore the median
    is that of grouped data: values are assumed to be evenly distributed within each microsecond.
    """
    adjacent = _pings(bed, "-A", "-c", str(PINGS))
    rare = _pings(bed, "-i", "0.004", "-c", str(PINGS))
    return {
        "rtt_median_us": median_grouped(adjacent),
        "rtt_p99_us": percentile(adjacent, 99),
        "rtt_rare_median_us": median_grouped(rare),
    }


def _pings(bed: BenchBed, *options: str) -> list[float]:
    """Round-trip times in microseconds; LabError if over a tenth of the replies are missing."""
    command = [*bed.inside("vm1"), "ping", "-n", *options, "10.0.0.2"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    times = [1000 * float(text) for text in re.findall(r"time=([\d.]+) ms", output)]
    if len(times) < PINGS * 0.9:
        raise LabError(f"{bed.way.name}: {len(times)} of {PINGS} pings were answered")
    return times


def first_packets(bed: BenchBed) -> Figures:
    """Microseconds from VM to VM for a broadcast from an unknown MAC: median and p99."""
    sender, receiver = (bed.socket_in(vm, _raw_socket) for vm in ("vm1", "vm2"))
    times = []
    with sender, receiver:
        for number in range(FIRST_FRAMES):
            body = b"first packet" + number.to_bytes(4, "big")
            source = b"\x02\xfe\x00" + number.to_bytes(3, "big")
            began = time.perf_counter()
            sender.send(b"\xff" * 6 + source + _TEST_TYPE + body.ljust(46, b"\0"))
            _await_frame(bed, receiver, body)
            times.append(1e6 * (time.perf_counter() - began))
    return {"first_median_us": median(times), "first_p99_us": percentile(times, 99)}


def _await_frame(bed: BenchBed, receiver: socket.socket, body: bytes) -> None:
    deadline = time.monotonic() + 2.0
    while select.select([receiver], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if body in receiver.recv(2048):
            return
    raise LabError(f"{bed.way.name}: a broadcast was lost")


def _raw_socket() -> socket.socket:
    """A packet socket on a VM's interface, for frames of an experimental EtherType."""
    number = int.from_bytes(_TEST_TYPE, "big")
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(number))
    opened.bind(("eth0", number))
    return opened


# -- tools


def _busy_s() -> float:
    """CPU time that the whole machine has spent so far, in seconds."""
    user, nice, system, _idle, _wait, irq, softirq = (
        int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / _TICKS


@contextmanager
def _server(bed: BenchBed) -> Iterator[None]:
    command = [*bed.inside("vm2"), "iperf3", "-s"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: _listens(bed), _WITHIN_S)
            yield
        finally:
            server.kill()


def _listens(bed: BenchBed) -> None:
    command = [*bed.inside("vm2"), "ss", "-ltnH"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ":5201" in output, f"{bed.way.name}: iperf3 does not listen"


def _iperf3(bed: BenchBed, *options: str) -> dict[str, Any]:
    command = [*bed.inside("vm1"), "iperf3", "-c", "10.0.0.2", "--json", *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{bed.way.name}: iperf3 did not finish within {_WITHIN_S:g} s") from None
    report: dict[str, Any] = json.loads(done.stdout)
    if "error" in report:
        raise LabError(f"{bed.way.name}: iperf3: {report['error']}")
    return report
