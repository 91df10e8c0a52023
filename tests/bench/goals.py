"""The performance goals: each is a figure with a bound. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.bench.load import lossless_pps
from tests.bench.summary import ratio

Found = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """A figure and the bound that it must keep."""

    label: str
    figure: Callable[[Found], float | None]
    bound: float
    least: bool  # whether the bound is a minimum; else it is a maximum

    def met(self, found: Found) -> bool | None:
        """Whether the figure keeps the bound; None if it was not measured."""
        value = self.figure(found)
        if value is None:
            return None
        return value >= self.bound if self.least else value <= self.bound


def _by(way: str, peer: str, key: str) -> Callable[[Found], float | None]:
    """A figure of one way divided by the same figure of another."""

    def figure(found: Found) -> float | None:
        ways = found.get("ways", {})
        return ratio(figure_of(ways.get(way, {}), key), figure_of(ways.get(peer, {}), key))

    return figure


def _at(*path: str) -> Callable[[Found], float | None]:
    def figure(found: Found) -> float | None:
        value: Any = found
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else float(value)

    return figure


def _thousandth(*path: str) -> Callable[[Found], float | None]:
    def figure(found: Found) -> float | None:
        value = _at(*path)(found)
        return None if value is None else value / 1000

    return figure


def _start(size: str) -> Callable[[Found], float | None]:
    return lambda found: ratio(
        _at("labs", size, "ready_s")(found), _at("labs", size, "bare_s")(found)
    )


_SMALL, _TCP = "small_lossless_pps", "tcp_1_out_gbit_s"
_DERIVED: dict[str, Callable[[dict[str, float]], float | None]] = {_SMALL: lossless_pps}


def figure_of(figures: dict[str, float], key: str) -> float | None:
    """A figure of a way: measured, or derived from measured ones."""
    return _DERIVED[key](figures) if key in _DERIVED else figures.get(key)


GOALS = (
    Goal("eBPF / kernel vxlan: small packets", _by("ebpf", "kernel", _SMALL), 1.5, True),
    Goal("eBPF / kernel vxlan: round trip", _by("ebpf", "kernel", "rtt_median_us"), 0.6, False),
    Goal("eBPF / kernel vxlan: round trip, pings 4 ms apart",
         _by("ebpf", "kernel", "rtt_rare_median_us"), 0.6, False),
    Goal("eBPF / kernel vxlan: TCP", _by("ebpf", "kernel", _TCP), 1.1, True),
    Goal("eBPF / kernel vxlan: CPU per GB", _by("ebpf", "kernel", "cpu_s_per_gb"), 1.0, False),
    Goal("eBPF / no encapsulation: small packets", _by("ebpf", "nothing", _SMALL), 0.95, True),
    Goal("eBPF / no encapsulation: TCP", _by("ebpf", "nothing", _TCP), 0.95, True),
    Goal("Python / naive Scapy: small packets", _by("python", "naive", _SMALL), 40.0, True),
    Goal("Python: TCP, Gbit/s", _at("ways", "python", _TCP), 0.7, True),
    Goal("Python: round trip, ms", _thousandth("ways", "python", "rtt_median_us"), 0.3, False),
    Goal("whole lab, eBPF: TCP, Gbit/s", _at("lab_tcp", "lab_ebpf_gbit_s"), 1.0, True),
    Goal("first packet through an agent, ms", _thousandth("flood", "first_ebpf_empty_us"),
         1.0, False),
    Goal("the same with 100,000 rows and 1,000 VNIs, ms",
         _thousandth("flood", "first_ebpf_full_us"), 1.0, False),
    Goal("the same, first flood of a VNI, ms", _thousandth("flood", "first_ebpf_full_new_us"),
         1.0, False),
    Goal("bytes per row in Python, 10^6 rows", _at("tables", "1000000", "python_bytes_a_row"),
         250, False),
    Goal("bytes per row in the maps, 10^6 rows", _at("tables", "1000000", "map_bytes_a_row"),
         64, False),
    Goal("new MACs learned per second, up to 10^6", _at("tables", "1000000", "learned_a_s"),
         100_000, True),
    Goal("100 hypervisors: start time / bare Mininet", _start("100"), 1.5, False),
    Goal("memory per hypervisor, of 100, MB", _at("labs", "100", "lab_mb_a_hypervisor"), 40, False),
)  # fmt: skip
