"""What is measured over a bed: TCP, small packets, round trips, first packets, CPU."""

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
from typing import Any

from tests.bench.bed import Bed
from tests.bench.summary import highest_without_loss, median, percentile
from tests.support.poll import eventually
from topologies.lab.errors import LabError
from vtep.forkserver import enter_network

TCP_S, OMITTED_S = 2, 1
FLAT_OUT_S, UDP_S = 3, 1
SMALL = 64  # bytes of UDP payload
LOSS = 0.001  # of the packets of a trial, taken for none: the receiver is a busy process itself
TRIALS = 7
PINGS = 300
FIRST_FRAMES = 200
_HIGHEST_PPS = 300_000
_WITHIN_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")
_RECEIVED = "/sys/class/net/eth0/statistics/rx_packets"
_NOW = f'echo "$(date +%s.%N) $(cat {_RECEIVED})"'
_WATCH = f"sleep 1; {_NOW}; sleep 1.5; {_NOW}"
_TEST_TYPE = b"\x88\xb5"

Figures = dict[str, float]


def tcp(bed: Bed) -> Figures:
    """Gbit/s of one stream and of four, both directions; CPU seconds of the machine a GB."""
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


def small_packets(bed: Bed) -> Figures:
    """Packets a second: received of as many as can be sent, and the most that none is lost of."""
    with _server(bed):
        flat_out = _flat_out_pps(bed)
        lossless = highest_without_loss(
            lambda pps: _received_pps(bed, pps)[1] <= LOSS, 0, 1.5 * flat_out, TRIALS
        )
    return {"small_flat_out_pps": flat_out, "small_lossless_pps": lossless}


def _flat_out_pps(bed: Bed) -> float:
    """Packets a second that come out at the VM's interface in mid run, of as many as can be sent.

    Not what the receiving process counts: on few CPUs it loses what the VTEP has brought.
    """
    watched = [*bed.inside("vm2"), "sh", "-c", _WATCH]
    with subprocess.Popen(watched, stdout=subprocess.PIPE, text=True) as watch:
        _iperf3(bed, "-u", "-b", "0", "-l", str(SMALL), "-t", str(FLAT_OUT_S))
        said, _ = watch.communicate(timeout=_WITHIN_S)
    (began_s, before), (ended_s, after) = (
        (float(time_s), int(packets)) for time_s, packets in map(str.split, said.splitlines())
    )
    return (after - before) / (ended_s - began_s)


def _received_pps(bed: Bed, pps: float) -> tuple[float, float]:
    """(packets received a second, part of them lost) at a rate offered; 0: as fast as can be."""
    rate = f"{pps * SMALL * 8:.0f}" if pps else "0"
    options = ["-u", "-b", rate, "-l", str(SMALL), "-t", str(UDP_S)]
    end = _iperf3(bed, *options)["end"]["sum"]
    got = end["packets"] - end["lost_packets"]
    return got / end["seconds"], end["lost_packets"] / max(1, end["packets"])


def round_trips(bed: Bed) -> Figures:
    """Microseconds: median and 99th percentile."""
    command = [*bed.inside("vm1"), "ping", "-n", "-i", "0.004", "-c", str(PINGS), "10.0.0.2"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    times = [1000 * float(text) for text in re.findall(r"time=([\d.]+) ms", said)]
    if len(times) < PINGS * 0.9:
        raise LabError(f"{bed.way.name}: {len(times)} of {PINGS} pings were answered")
    return {"rtt_median_us": median(times), "rtt_p99_us": percentile(times, 99)}


def first_packets(bed: Bed) -> Figures:
    """Microseconds from VM to VM for a broadcast of a MAC that nobody has heard of: median, p99."""
    sender, receiver = (_raw_socket(bed, vm) for vm in ("vm1", "vm2"))
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


def _await_frame(bed: Bed, receiver: socket.socket, body: bytes) -> None:
    deadline = time.monotonic() + 2.0
    while select.select([receiver], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if body in receiver.recv(2048):
            return
    raise LabError(f"{bed.way.name}: a broadcast was lost")


def _raw_socket(bed: Bed, vm: str) -> socket.socket:
    """A packet socket at a VM's interface; it stays there when we are back home."""
    home = "/proc/self/ns/net"
    with open(home) as _:
        back = os.open(home, os.O_RDONLY)
        try:
            enter_network(bed.namespace(vm))
            number = int.from_bytes(_TEST_TYPE, "big")
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(number))
            opened.bind(("eth0", number))
        finally:
            enter_network(f"/proc/self/fd/{back}")
            os.close(back)
    return opened


# -- tools


def _busy_s() -> float:
    """Seconds that all CPUs of the machine have worked so far."""
    user, nice, system, _idle, _wait, irq, softirq = (
        int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / _TICKS


@contextmanager
def _server(bed: Bed) -> Iterator[None]:
    command = [*bed.inside("vm2"), "iperf3", "-s"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: _listens(bed), _WITHIN_S)
            yield
        finally:
            server.kill()


def _listens(bed: Bed) -> None:
    command = [*bed.inside("vm2"), "ss", "-ltnH"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ":5201" in said, f"{bed.way.name}: iperf3 does not listen"


def _iperf3(bed: Bed, *options: str) -> dict[str, Any]:
    command = [*bed.inside("vm1"), "iperf3", "-c", "10.0.0.2", "--json", *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{bed.way.name}: iperf3 did not end") from None
    said: dict[str, Any] = json.loads(done.stdout)
    if "error" in said:
        raise LabError(f"{bed.way.name}: iperf3: {said['error']}")
    return said
