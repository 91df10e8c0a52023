"""How long labs take to start, how much memory they use, and their TCP throughput."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import bare
from tests.bench.apart import in_sandbox
from tests.support.poll import pause
from vxlab.control import rpc
from vxlab.lab.handle import find

VXLAB = [sys.executable, "-m", "vxlab"]
SIZES = (10, 30, 100)
_TCP_S = 4
_WARM_S, _WATCHED_S = 1.5, 2.0  # of the TCP stream: not observed, then observed
_ENDS_WITHIN_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")

Figures = dict[str, float]


def starts(hypervisors: int) -> Figures:
    """Start times of a lab and of bare Mininet, memory in MB, and the time of `down`."""
    name = f"t-bench-{hypervisors}"
    began = time.monotonic()
    _vxlab("up", "many_vteps", "--name", name, "-d", "--set", f"vteps={hypervisors}", "--set",
           "vms=1")  # fmt: skip
    ready_s = time.monotonic() - began
    try:
        memory = _memory(name)
    finally:
        began = time.monotonic()
        _vxlab("down", name)
    down_s = time.monotonic() - began
    return {"ready_s": ready_s, "bare_s": _bare_s(hypervisors), **memory, "down_s": down_s}


def _bare_s(hypervisors: int) -> float:
    return float(in_sandbox(lambda directory: bare.seconds(hypervisors, directory), quiet=True))


def _memory(name: str) -> Figures:
    """MB: an agent's mean RSS and PSS; the PSS of the whole lab per hypervisor."""
    lab = find(name)
    names = lab.hypervisors()
    agents = {
        rpc.ask(lab.directory.agent_socket(each), "ready")["pid"]: each for each in names
    }  # ids in the sandbox's PID namespace
    resident = shared = whole = 0.0
    for pid in _processes(name):
        proportional = _of(pid, "smaps_rollup", "Pss:")
        whole += proportional
        if _inner_pid(pid) in agents:
            resident += _of(pid, "status", "VmRSS:")
            shared += proportional
    count = len(names)
    return {
        "agent_rss_mb": resident / count,
        "agent_pss_mb": shared / count,
        "lab_mb_a_hypervisor": whole / count,
    }


def _processes(lab: str) -> list[int]:
    """The ids of all processes of a lab, in our own PID namespace."""
    marked = f"VXLAB_LAB={lab}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marked in (entry / "environ").read_bytes() + b"\0":
                found.append(int(entry.name))
        except OSError:
            continue  # the process has ended
    return found


def _inner_pid(pid: int) -> int:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "NSpid" in x)
    return int(line.split()[-1])


def _of(pid: int, file: str, field: str) -> float:
    """A field of a process in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def lab_tcp(data_path: str) -> Figures:
    """Gbit/s of one TCP stream from A to B through the lab of the demo.

    Also the load of Open vSwitch's busiest thread meanwhile, as a fraction of a CPU: in total, and
    in the kernel.
    """
    name = f"t-bench-{data_path}"
    _vxlab("up", "three_vteps", "--name", name, "-d", "--set", f"datapath={data_path}")
    try:
        server = [*VXLAB, "exec", "--lab", name, "B", "--", "iperf3", "-s", "-D"]
        subprocess.run(server, check=True, capture_output=True)
        _vxlab("exec", "--lab", name, "A", "--", "ping", "-c", "2", "10.0.0.2")
        command = [*VXLAB, "exec", "--lab", name, "A", "--", "iperf3", "-c", "10.0.0.2", "--json"]
        stream = subprocess.Popen(
            [*command, "-t", str(_TCP_S), "-O", "1"], stdout=subprocess.PIPE, text=True
        )
        busy, in_kernel = _busiest_thread(_vswitchd(name))
        output, _ = stream.communicate(timeout=_ENDS_WITHIN_S)
    finally:
        _vxlab("down", name)
    end = json.loads(output)["end"]["sum_received"]
    return {
        f"lab_{data_path}_gbit_s": end["bits_per_second"] / 1e9,
        f"lab_{data_path}_vswitchd": busy,
        f"lab_{data_path}_vswitchd_in_kernel": in_kernel,
    }


def _vswitchd(lab: str) -> int:
    (pid,) = [pid for pid in _processes(lab) if _comm(pid) == "ovs-vswitchd"]
    return pid


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _busiest_thread(pid: int) -> tuple[float, float]:
    """The CPU load of a process' busiest thread during the stream: in total, in the kernel."""
    pause(_WARM_S)
    before, began = _thread_ticks(pid), time.monotonic()
    pause(_WATCHED_S)
    after, took_s = _thread_ticks(pid), time.monotonic() - began
    spent = [
        (user - before[thread][0], system - before[thread][1])
        for thread, (user, system) in after.items()
        if thread in before
    ]
    user, system = max(spent, key=sum)
    return (user + system) / _TICKS / took_s, system / _TICKS / took_s


def _thread_ticks(pid: int) -> dict[str, tuple[int, int]]:
    """Thread -> ticks of user time and of system time (proc(5), stat: fields 14 and 15)."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        found[thread.name] = int(fields[11]), int(fields[12])
    return found


def _vxlab(*arguments: str) -> str:
    done = subprocess.run([*VXLAB, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"vxlab {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
