"""What this machine has and lacks for a laboratory, and the command that mends each lack.

Standard library only: it must run where nothing else does yet. It finds, it never mends.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from vxlab.setup.kernel import KERNEL_CHECKS
from vxlab.setup.probes import Check, Probes, found, lacking

__all__ = ["Check", "Probes", "checks"]

SETUP = "make setup"
MEMORY_NEEDED_MIB = 512

TOOLS = {
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "mnexec": "mininet",
    "ip": "iproute2",
    "ping": "iputils-ping",
    "tcpdump": "tcpdump",
    "tshark": "tshark",
    "iperf3": "iperf3",
    "ethtool": "ethtool",
    "unshare": "util-linux",
}

_RYU = (
    "import eventlet.wsgi as w; w.ALREADY_HANDLED = b''\n"
    "import ryu, ryu.base.app_manager, ryu.controller.controller; print(ryu.version)"
)
_OS_KEN = "import os_ken.base.app_manager, importlib.metadata as m; print(m.version('os-ken'))"


def checks(probes: Probes | None = None) -> list[Check]:
    """All checks on this machine, in the order in which lacks should be mended."""
    asked = probes or Probes()
    return [check(asked) for check in (*_SOFTWARE_CHECKS, *KERNEL_CHECKS, _memory)]


def _tools(probes: Probes) -> Check:
    lacks = {tool: package for tool, package in TOOLS.items() if not probes.tool(tool)}
    if not lacks:
        return found("tools", f"all {len(TOOLS)} of them")
    packages = " ".join(sorted(set(lacks.values())))
    cure = f"sudo apt-get install -y --no-install-recommends {packages}"
    return lacking("tools", f"not found: {', '.join(lacks)}", cure)


def _open_vswitch(probes: Probes) -> Check:
    said = probes.run("ovs-vsctl", "--version") or ""
    version = re.search(r"\d+\.\d+\.\d+", said)
    if version:
        return found("Open vSwitch", version.group())
    return lacking("Open vSwitch", "ovs-vsctl does not run", SETUP)


def _importable(
    name: str, program: str, needed: bool = True, cure: str = SETUP
) -> Callable[[Probes], Check]:
    def check(probes: Probes) -> Check:
        version = probes.python(program)
        if version:
            return found(name, version, needed)
        return lacking(name, "this Python cannot import it", cure, needed)

    return check


def _memory(probes: Probes) -> Check:
    line = re.search(r"MemAvailable:\s+(\d+) kB", probes.read("/proc/meminfo") or "")
    if line is None:
        return found("memory", "unknown", needed=False)
    free_mib = int(line.group(1)) // 1024
    detail = f"{free_mib} MiB free"
    if free_mib >= MEMORY_NEEDED_MIB:
        return found("memory", detail)
    return lacking("memory", f"{detail}, {MEMORY_NEEDED_MIB} needed", "vxlab down --all")


_SOFTWARE_CHECKS: tuple[Callable[[Probes], Check], ...] = (
    _tools,
    _open_vswitch,
    _importable("Mininet", "import mininet.net as n; print(n.VERSION)"),
    _importable("Scapy", "import scapy; print(scapy.__version__)"),
    _importable("Ryu", _RYU),
    _importable("os-ken", _OS_KEN, needed=False),
)
