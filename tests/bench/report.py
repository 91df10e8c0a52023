"""The bench's figures as JSON, as a page with tables, and as pictures; all in docs/results/."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from tests.bench.bed import INNER_MTU, KERNEL, NOTHING, UNDERLAY_MTU, WAYS
from tests.bench.goals import GOALS, figure_of
from tests.bench.load import SMALL, TRIAL_S, UNDER_WAY
from tests.bench.summary import ratio
from tests.bench.wire import TCP_S

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
JSON, PAGE = RESULTS / "bench.json", RESULTS / "bench.md"

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
    "rtt_rare_median_us": "4 ms apart, median",
    "first_median_us": "first packet µs, median",
    "first_p99_us": "p99",
}
_LAB_COLUMNS = {
    "ready_s": "ready, s",
    "bare_s": "bare Mininet, s",
    "lab_mb_a_hypervisor": "MB a hypervisor",
    "agent_rss_mb": "agent: resident MB",
    "agent_pss_mb": "its share, MB",
    "down_s": "down, s",
}
_TCP_COLUMNS = {
    "gbit_s": "TCP, Gbit/s",
    "vswitchd": "vswitchd's busiest thread, CPUs",
    "vswitchd_in_kernel": "of it in system calls",
}
_ROW_COLUMNS = {
    "python_bytes_a_row": "bytes a row",
    "map_bytes_a_row": "in the maps",
    "learned_a_s": "learned a second",
    "lookup_ns": "look up, ns",
    "dict_ns": "plain dict, ns",
    "renew_ns": "renew, ns",
    "move_ns": "move, ns",
    "age_ns": "age, ns",
}
_FIRST_CASES = {"empty_us": "empty", "full_us": "full", "full_new_us": "full, first of its VNI"}
_FIRST_WAYS = {"eBPF": "first_ebpf", "Python": "first_python"}
_PICTURES = {
    "bench-tcp.svg": ("TCP, one stream, Gbit/s", "tcp_1_out_gbit_s"),
    "bench-packets.svg": ("Small packets a second, none lost", "small_lossless_pps"),
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
        "# How fast it is",
        '`make bench` makes this page; `make bench ARGS="--only rtt"` one figure of it. '
        f"Measured on {machine['cpus']} CPUs ({machine['architecture']}), "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, Python {machine['python']}. "
        "An absolute time means little on a shared machine: look at the ratios, which are of one "
        "run.",
        "## Goals and measurements",
        goals_told(found, markdown=True),
        "## Ways to join two VMs",
        _METHOD,
        _ways(found),
        "In brackets: the ratio to the kernel's vxlan device, and to no encapsulation.",
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
    "VM, veth, hypervisor with its VTEP, veth, underlay (a Linux bridge), veth, hypervisor, veth, "
    f"VM: each a network namespace; inner MTU {INNER_MTU}, underlay {UNDERLAY_MTU}. The beds of "
    "all ways exist at once; each figure is taken from all in turn, the order reversed every other "
    f"time, and the median told. TCP: iperf3, {TCP_S} s after one of warming up. CPU: all that the "
    f"machine worked meanwhile. Small packets: UDP of {SMALL} bytes, handed to the kernel many by "
    "one call, to a socket that counts and drops them: two processes that send and read one by one "
    "would bound the rate. Flat out: what arrives of as many as can be offered. Without loss: the "
    f"highest rate at which none of the packets of {TRIAL_S} s is lost and at most {UNDER_WAY:.0%} "
    "are still under way at its end, found by bisection (RFC 2544 section 26.1, in shorter "
    "trials); where none is lost flat out, the path works in the sender's own time, and no higher "
    "rate can be offered. "
    "Round trip: pings, one after the other, and some 4 ms apart, which find the caches cold. "
    "Flat out and round trips are taken in many short slices, every way in turn, so that the noise "
    "of a shared machine falls on all alike. "
    "First packet: broadcasts of MACs never seen before, from socket to socket."
)
_LABS = (
    "`many_vteps` with one VM a hypervisor: seconds until READY, beside Mininet's own classes with "
    "as many nodes and links; memory as resident set and proportional share of an agent, and of "
    "the whole lab by hypervisor."
)
_LAB_TCP = (
    "One TCP stream through the whole lab of the scene: VM, bridge, VTEP, underlay switch, VTEP, "
    "bridge, VM. With Open vSwitch in userspace one thread of vswitchd is what bounds it: "
    "[data-paths.md](../reference/data-paths.md) has its profile."
)
_FIRST = (
    "One agent, from a VM's frame to the packet on the underlay, in microseconds (median): with an "
    "empty table and one VNI, and with 100,000 rows and 1,000 VNIs, there also for the first flood "
    "of each VNI, whose outer header is built by Scapy then."
)
_TABLES = (
    "Bytes a row: growth of the resident set while learning; in the maps: memory of the shared "
    "table by the rows it took, at half load. Nanoseconds of an operation on MACs at random. "
    "Nothing depends on how many rows there are but how much of them the CPU's caches hold: a "
    "look-up in a plain dict of as many MACs slows down as much."
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
    told = ", ".join("-" if each is None else f"{each:.2f}" for each in ratios)
    return f"{_number(value)} ({told})"


def _rows(first: str, headings: dict[str, str], found: dict[str, dict[str, float]]) -> str:
    """A table of sizes, least first, with a column for each figure that has a heading."""
    rows = [
        [f"{int(size):,}", *(_number(found[size].get(key)) for key in headings)]
        for size in sorted(found, key=int)
    ]
    return _table([first, *headings.values()], rows) if rows else ""


def _lab_tcp(figures: dict[str, float]) -> str:
    if not figures:
        return ""
    rows = [
        [told, *(_number(figures.get(f"lab_{datapath}_{key}")) for key in _TCP_COLUMNS)]
        for datapath, told in (("ebpf", "eBPF"), ("python", "Python"))
    ]
    return _table(["data path", *_TCP_COLUMNS.values()], rows)


def _first(flood: dict[str, float]) -> str:
    if not flood:
        return ""
    rows = [
        [told, *(_number(flood.get(f"{prefix}_{case}")) for case in _FIRST_CASES)]
        for told, prefix in _FIRST_WAYS.items()
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


def goals_told(found: Found, markdown: bool = False) -> str:
    """Each goal with its figure, and whether it is met."""
    rows = []
    for goal in GOALS:
        value, met = goal.figure(found), goal.met(found)
        verdict = {True: "met", False: "not met", None: "not measured"}[met]
        bound = f"{'≥' if goal.least else '≤'} {goal.bound:,g}"
        rows.append([goal.told, bound, "-" if value is None else _number(value), verdict])
    if markdown:
        return _table(["figure", "goal", "measured", ""], rows)
    return "\n".join(f"{told:45}{bound:>12}{value:>12}  {met}" for told, bound, value, met in rows)


def _draw(path: Path, title: str, key: str, found: Found) -> None:
    """A bar chart for narrow screens; the values are in the labels, where no bar covers them."""
    # lazy: only a run that writes needs it
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
