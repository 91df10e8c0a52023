"""Write the benchmark's results to docs/results/: as JSON, as a page with tables, and as charts."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from tests.bench.bed import INNER_MTU, KERNEL, NOTHING, UNDERLAY_MTU, WAYS
from tests.bench.goals import GOALS, figure_of
from tests.bench.load import IN_TRANSIT, SMALL, TRIAL_S
from tests.bench.summary import ratio
from tests.bench.wire import TCP_S

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
JSON, PAGE = RESULTS / "bench.json", RESULTS / "bench.md"

Found = dict[str, Any]

_COLUMNS = {  # figure -> heading, and whether more is better
    "tcp_1_out_gbit_s": "TCP, 1 stream, Gbit/s",
    "tcp_1_back_gbit_s": "reverse",
    "tcp_4_out_gbit_s": "TCP, 4 streams",
    "tcp_4_back_gbit_s": "reverse",
    "cpu_s_per_gb": "CPU s per GB",
    "small_flat_out_pps": "small packets/s, full load",
    "small_lossless_pps": "without loss",
    "rtt_median_us": "round trip µs, median",
    "rtt_p99_us": "p99",
    "rtt_rare_median_us": "pings 4 ms apart, median",
    "first_median_us": "first packet µs, median",
    "first_p99_us": "p99",
}
_LAB_COLUMNS = {
    "ready_s": "ready, s",
    "bare_s": "bare Mininet, s",
    "lab_mb_a_hypervisor": "MB per hypervisor",
    "agent_rss_mb": "agent: RSS, MB",
    "agent_pss_mb": "agent: PSS, MB",
    "down_s": "down, s",
}
_TCP_COLUMNS = {
    "gbit_s": "TCP, Gbit/s",
    "vswitchd": "vswitchd's busiest thread, CPUs",
    "vswitchd_in_kernel": "of these in the kernel",
}
_ROW_COLUMNS = {
    "python_bytes_a_row": "bytes per row",
    "map_bytes_a_row": "bytes per row in the maps",
    "learned_a_s": "learned per second",
    "lookup_ns": "look-up, ns",
    "dict_ns": "look-up in a dict, ns",
    "renew_ns": "renew, ns",
    "move_ns": "move, ns",
    "age_ns": "age, ns",
}
_FIRST_CASES = {
    "empty_us": "empty tables",
    "full_us": "full tables",
    "full_new_us": "full tables, first flood of a VNI",
}
_FIRST_WAYS = {"eBPF": "first_ebpf", "Python": "first_python"}
_PICTURES = {
    "bench-tcp.svg": ("TCP, one stream, Gbit/s", "tcp_1_out_gbit_s"),
    "bench-packets.svg": ("Small packets per second without loss", "small_lossless_pps"),
    "bench-rtt.svg": ("Round-trip time, µs, median", "rtt_median_us"),
}


def read() -> Found:
    """The results so far; empty if there are none."""
    found: Found = json.loads(JSON.read_text()) if JSON.exists() else {}
    return found


def write(found: Found) -> None:
    """Write the JSON file, the page and the charts."""
    found["machine"] = _machine()
    JSON.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(found))
    for name, (title, key) in _PICTURES.items():
        _draw(RESULTS / name, title, key, found)


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
        "# Performance",
        "`make bench` generates this page. "
        '`make bench ARGS="--only rtt"` measures one figure and keeps the others. '
        f"Measured on {machine['cpus']} CPUs ({machine['architecture']}), "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, Python {machine['python']}. "
        "On a shared machine absolute values mean little. Compare the ratios: both values of a "
        "ratio are from the same run.",
        "## Goals and measurements",
        goals_text(found, markdown=True),
        "## Ways to connect two VMs",
        _METHOD,
        _ways(found),
        "In brackets: the ratio to the kernel's vxlan device, and the ratio to no encapsulation.",
        *(f"![{title}]({name})" for name, (title, _) in _PICTURES.items()),
        "## Labs",
        _LABS,
        _rows("hypervisors", _LAB_COLUMNS, found.get("labs", {})),
        _LAB_TCP,
        _lab_tcp(found.get("lab_tcp", {})),
        "## First packets",
        _FIRST,
        _first(found.get("flood", {})),
        "## Tables",
        _TABLES,
        _rows("rows", _ROW_COLUMNS, found.get("tables", {})),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_METHOD = (
    "Each test bed has two VMs, two hypervisors with their VTEPs and an underlay (a Linux bridge). "
    "Each node is a network namespace, and veth pairs connect them: VM, hypervisor, underlay, "
    f"hypervisor, VM. The inner MTU is {INNER_MTU}, the underlay's {UNDERLAY_MTU}. The beds of all "
    "ways exist at the same time. Each figure is the median of measurements that take the ways in "
    "turn; the order is reversed every other time.\n\n"
    f"- **TCP:** iperf3, {TCP_S} s after a warm-up of 1 s.\n"
    "- **CPU:** the CPU time of the whole machine meanwhile.\n"
    f"- **Small packets:** UDP with {SMALL} bytes of payload. The sender passes many to the kernel "
    "in one call, and the receiving socket counts and drops them. Processes that send and receive "
    "one packet per call would limit the rate.\n"
    "- **Full load:** packets that arrive while the sender sends as fast as it can.\n"
    f"- **Without loss:** the highest rate at which no packet of a trial of {TRIAL_S} s is lost "
    f"and at most {IN_TRANSIT:.0%} are still in transit at its end. It is found by bisection "
    "(RFC 2544 section 26.1, with shorter trials). If nothing is lost at full load, the path runs "
    "in the sender's own context, and no higher rate can be offered.\n"
    "- **Round trip:** pings back to back, and pings 4 ms apart, which find cold caches.\n"
    "- **First packet:** broadcasts from MACs that are still unknown, from socket to socket.\n\n"
    "Full load and round trips are measured in many short slices, so that the noise of a shared "
    "machine affects all ways equally."
)
_LABS = (
    "`many_vteps` with one VM per hypervisor: seconds until READY, compared with plain Mininet "
    "with as many nodes and links. Memory: the proportional set size (PSS) of the whole lab "
    "divided by the number of hypervisors, and the resident set size (RSS) and PSS of one agent."
)
_LAB_TCP = (
    "One TCP stream through the lab of the demo: VM, bridge, VTEP, underlay switch, VTEP, bridge, "
    "VM. With Open vSwitch's userspace datapath one thread of vswitchd limits the throughput; its "
    "profile is in [data-paths.md](../reference/data-paths.md)."
)
_FIRST = (
    "Median microseconds from a VM's frame to the packet on the underlay, through one agent. Empty "
    "tables: one VNI, no rows. Full tables: 1,000 VNIs and 100,000 rows. There the first flood of "
    "each VNI is listed separately, because Scapy then builds its outer header."
)
_TABLES = (
    "Bytes per row: growth of the resident set while learning. Bytes per row in the maps: memory "
    "of the shared table divided by its rows, at half load. Operations are on MACs in random "
    "order. Operations get slower with more rows only because fewer of them fit the CPU's caches: "
    "a look-up in a plain dict of as many MACs slows down equally."
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
        rows.append([way.label, *cells])
    return _table(head, rows)


def _cell(ways: Found, figures: Found, key: str) -> str:
    value = figure_of(figures, key)
    if value is None:
        return "-"
    ratios = [ratio(value, figure_of(ways.get(peer, {}), key)) for peer in (KERNEL, NOTHING)]
    compared = ", ".join("-" if each is None else f"{each:.2f}" for each in ratios)
    return f"{_number(value)} ({compared})"


def _rows(first: str, headings: dict[str, str], found: dict[str, dict[str, float]]) -> str:
    """A table with a row per size, in ascending order, and a column per figure with a heading."""
    rows = [
        [f"{int(size):,}", *(_number(found[size].get(key)) for key in headings)]
        for size in sorted(found, key=int)
    ]
    return _table([first, *headings.values()], rows) if rows else ""


def _lab_tcp(figures: dict[str, float]) -> str:
    if not figures:
        return ""
    rows = [
        [label, *(_number(figures.get(f"lab_{data_path}_{key}")) for key in _TCP_COLUMNS)]
        for data_path, label in (("ebpf", "eBPF"), ("python", "Python"))
    ]
    return _table(["data path", *_TCP_COLUMNS.values()], rows)


def _first(flood: dict[str, float]) -> str:
    if not flood:
        return ""
    rows = [
        [label, *(_number(flood.get(f"{prefix}_{case}")) for case in _FIRST_CASES)]
        for label, prefix in _FIRST_WAYS.items()
    ]
    return _table(["", *_FIRST_CASES.values()], rows)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def goals_text(found: Found, markdown: bool = False) -> str:
    """A line for each goal: its bound, the measured value, and whether the goal is met."""
    rows = []
    for goal in GOALS:
        value, met = goal.figure(found), goal.met(found)
        verdict = {True: "met", False: "not met", None: "not measured"}[met]
        bound = f"{'≥' if goal.least else '≤'} {goal.bound:,g}"
        rows.append([goal.label, bound, "-" if value is None else _number(value), verdict])
    if markdown:
        return _table(["figure", "goal", "measured", ""], rows)
    return "\n".join(
        f"{label:50}{bound:>12}{value:>12}  {met}" for label, bound, value, met in rows
    )


def _draw(path: Path, title: str, key: str, found: Found) -> None:
    """Draw a bar chart that can be read on a phone. Values are in the labels, not on the bars."""
    # Imported here, because only writing results needs pygal.
    import pygal
    from pygal.style import Style

    style = Style(
        background="white", plot_background="white", font_family="sans-serif", colors=("#1d4ed8",),
        title_font_size=20, label_font_size=15, major_label_font_size=15, opacity=1,
    )  # fmt: skip
    chart = pygal.HorizontalBar(
        title=title, show_legend=False, style=style, height=400, width=640, spacing=8,
        show_x_guides=False, show_y_guides=False, disable_xml_declaration=True, js=(),
        value_formatter=_number, margin_left=10,
    )  # fmt: skip
    ways = found.get("ways", {})
    figures = [(way.label, figure_of(ways.get(way.name, {}), key)) for way in reversed(WAYS)]
    chart.x_labels = [f"{label}: {_number(value)}" for label, value in figures]
    chart.add(title, [value for _, value in figures])
    path.write_text(chart.render(is_unicode=True) + "\n")
