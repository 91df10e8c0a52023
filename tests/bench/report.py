"""The bench's figures as JSON, as a page with tables, and as pictures; all in docs/."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from tests.bench.bed import INNER_MTU, KERNEL, NOTHING, UNDERLAY_MTU, WAYS
from tests.bench.goals import GOALS
from tests.bench.summary import ratio
from tests.bench.wire import LOSS, PINGS, SMALL, TCP_S

DOCS = Path(__file__).resolve().parents[2] / "docs"
JSON, PAGE = DOCS / "bench.json", DOCS / "bench.md"

Found = dict[str, Any]

_COLUMNS = {  # figure -> heading, and whether more is better
    "tcp_1_out_gbit_s": "TCP, 1 stream, Gbit/s",
    "tcp_1_back_gbit_s": "back",
    "tcp_4_out_gbit_s": "TCP, 4 streams",
    "tcp_4_back_gbit_s": "back",
    "cpu_s_per_gb": "CPU s a GB",
    "small_flat_out_pps": "small packets/s, flat out",
    "small_lossless_pps": "without loss",
    "rtt_median_us": "round trip µs, median",
    "rtt_p99_us": "p99",
    "first_median_us": "first packet µs, median",
    "first_p99_us": "p99",
}
_PICTURES = {
    "bench-tcp.svg": ("TCP, one stream, Gbit/s", "tcp_1_out_gbit_s"),
    "bench-packets.svg": ("Small packets a second, flat out", "small_flat_out_pps"),
    "bench-rtt.svg": ("Round trip, µs, median", "rtt_median_us"),
}


def read() -> Found:
    """The figures of the last run; empty if there was none."""
    found: Found = json.loads(JSON.read_text()) if JSON.exists() else {}
    return found


def write(found: Found) -> None:
    """Write JSON, page and pictures."""
    found["machine"] = _machine()
    JSON.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(found))
    for name, (title, key) in _PICTURES.items():
        _draw(DOCS / name, title, key, found)


def _machine() -> dict[str, Any]:
    memory = Path("/proc/meminfo").read_text().split(None, 2)[1]
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(int(memory) / 2**20),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "architecture": platform.machine(),
    }


def page(found: Found) -> str:
    """The page in Markdown."""
    machine = found["machine"]
    parts = [
        "# How fast it is",
        '`make bench` makes this page; `make bench ARGS="--only rtt"` one figure of it. '
        f"Measured on {machine['cpus']} CPUs ({machine['architecture']}), "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, Python {machine['python']}. "
        "An absolute time means little on a shared machine: look at the ratios, which are of one "
        "run.",
        "## What is wanted, and what was measured",
        goals_told(found, markdown=True),
        "## Ways to join two VMs",
        _METHOD,
        _ways(found),
        "In brackets: the ratio to the kernel's vxlan device, and to no encapsulation.",
        *(f"![{title}]({name})" for name, (title, _) in _PICTURES.items()),
        "## Labs",
        _LABS,
        _rows("hypervisors", found.get("labs", {})),
        _rows("", {"Gbit/s": found.get("lab_tcp", {})}),
        _BOUND,
        "## Tables",
        _TABLES,
        _rows("rows", found.get("tables", {})),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_METHOD = (
    "VM, veth, hypervisor with its VTEP, veth, underlay (a Linux bridge), veth, hypervisor, veth, "
    f"VM: each a network namespace; inner MTU {INNER_MTU}, underlay {UNDERLAY_MTU}. The beds of "
    "all ways exist at once; each figure is taken from all in turn, the order reversed every other "
    f"time, and the median told. TCP: iperf3, {TCP_S} s after one of warming up. Small packets: "
    f"UDP of {SMALL} bytes; flat out is what comes out at the VM's interface, in mid run, of as "
    "many as can be sent; without loss is the highest rate found by bisection of which the "
    f"receiving process lacks at most {LOSS:.1%} (RFC 2544 section 26.1 asks for none; the process "
    f"is a busy one itself). Round trip: {PINGS} pings. First packet: "
    "broadcasts of MACs never seen before, from socket to socket. CPU: all that the machine worked."
)
_LABS = (
    "`many_vteps` with one VM a hypervisor: seconds until READY, beside Mininet's own classes with "
    "as many nodes and links; memory as resident set and proportional share of an agent, and of "
    "the whole lab by hypervisor."
)
_BOUND = (
    "TCP through the whole lab of the scene (VM, bridge, VTEP, underlay switch, VTEP, bridge, VM) "
    "with Open vSwitch in userspace is bound by vswitchd: its one thread works at 100 % of a CPU, "
    "and meets each packet that was cut twice, in the underlay switch and in the second bridge. "
    "Profiled (perf, four seconds of one stream), half of its time is sending (`sendmmsg`), a "
    "fifth receiving (`recvmmsg`), an eighth its own code and memory it allocates for each packet, "
    "a tenth a look at its control socket every round (`accept`). The data path's eBPF programs "
    "run on the other CPU, and are below 3 % of the whole. Longer queues end the losses that cut "
    "super-frames caused; that the thread keeps to one CPU, and the receiving work of the virtual "
    "links is for the others, gave another half. With the kernel module there is no such thread."
)
_TABLES = (
    "Bytes a row: growth of the resident set while learning; in the maps: memory of the shared "
    "table by the rows it took, at half load. Times grow only as far as caches end."
)


def _ways(found: Found) -> str:
    ways = found.get("ways", {})
    head = ["", *_COLUMNS.values()]
    rows = []
    for way in WAYS:
        figures = ways.get(way.name)
        if figures is None:
            continue
        cells = [_cell(ways, figures, key) for key in _COLUMNS]
        rows.append([f"{way.name}: {way.told}", *cells])
    return _table(head, rows)


def _cell(ways: Found, figures: Found, key: str) -> str:
    value = figures.get(key)
    if value is None:
        return "-"
    ratios = [ratio(value, ways.get(peer, {}).get(key)) for peer in (KERNEL, NOTHING)]
    told = ", ".join("-" if each is None else f"{each:.2f}" for each in ratios)
    return f"{_number(value)} ({told})"


def _rows(first: str, found: dict[str, dict[str, float]]) -> str:
    if not any(found.values()):
        return ""
    keys = list(dict.fromkeys(key for row in found.values() for key in row))
    rows = [[name, *(_number(row[key]) for key in keys)] for name, row in found.items()]
    return _table([first, *(key.replace("_", " ") for key in keys)], rows)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def goals_told(found: Found, markdown: bool = False) -> str:
    """Each goal with its figure, and whether it is met."""
    rows = []
    for goal in GOALS:
        value, met = goal.figure(found), goal.met(found)
        verdict = {True: "met", False: "not met", None: "not measured"}[met]
        bound = f"{'≥' if goal.least else '≤'} {goal.bound:,g}"
        rows.append([goal.told, bound, "-" if value is None else _number(value), verdict])
    if markdown:
        return _table(["figure", "wanted", "measured", ""], rows)
    return "\n".join(f"{told:45}{bound:>12}{value:>12}  {met}" for told, bound, value, met in rows)


def _draw(path: Path, title: str, key: str, found: Found) -> None:
    # lazy: only a run that writes needs it
    import pygal
    from pygal.style import Style

    plain = Style(background="white", plot_background="white", font_family="sans-serif")
    chart = pygal.HorizontalBar(
        title=title, show_legend=False, style=plain, print_values=True, height=320, width=720,
        disable_xml_declaration=True, js=(), value_formatter=_number,
    )  # fmt: skip
    told = [(way.name, found.get("ways", {}).get(way.name, {}).get(key)) for way in WAYS]
    chart.x_labels = [name for name, _ in told]
    chart.add(title, [value for _, value in told])
    path.write_text(chart.render(is_unicode=True) + "\n")
