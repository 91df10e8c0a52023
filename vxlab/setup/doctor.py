"""What a lab needs on this machine, and the command that installs what is missing.

Standard library only: it must run where nothing else does yet. It changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from vxlab.setup.installation import (
    apt_install,
    in_checkout,
    install_modules,
    install_packages,
)
from vxlab.setup.kernel import KERNEL_CHECKS
from vxlab.setup.probes import Check, Probes, found, lacking

__all__ = ["Check", "Probes", "checks"]

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
_MININET = "import vxlab, mininet.net as n; print(n.VERSION)"
_SCAPY = "import scapy; print(scapy.__version__)"


def checks(probes: Probes | None = None) -> list[Check]:
    """All checks on this machine, in the order in which missing things should be installed."""
    asked = probes or Probes()
    return [check(asked) for check in (*_SOFTWARE_CHECKS, *KERNEL_CHECKS, _memory)]


def _tools(probes: Probes) -> Check:
    missing = {tool: package for tool, package in TOOLS.items() if not probes.tool(tool)}
    if not missing:
        return found("tools", f"all {len(TOOLS)} of them")
    fix = apt_install(missing.values())
    return lacking("tools", f"not found: {', '.join(missing)}", fix)


def _open_vswitch(probes: Probes) -> Check:
    output = probes.run("ovs-vsctl", "--version") or ""
    version = re.search(r"\d+\.\d+\.\d+", output)
    if version:
        return found("Open vSwitch", version.group())
    fix = install_packages(["openvswitch-switch"])
    return lacking("Open vSwitch", "ovs-vsctl does not run", fix)


def _mininet(probes: Probes) -> Check:
    if version := probes.python(_MININET):
        return found("Mininet", version)
    return lacking("Mininet", "Python cannot import it", install_packages(["mininet"]))


def _scapy(probes: Probes) -> Check:
    if version := probes.python(_SCAPY):
        return found("Scapy", version)
    return lacking("Scapy", "Python cannot import it", install_modules("scapy"))


def _ryu(probes: Probes) -> Check:
    """Needed in a checkout, where it is the default; os-ken takes its place elsewhere."""
    needed = in_checkout()
    if version := probes.python(_RYU):
        return found("Ryu", version, needed)
    detail = "Python cannot import it"
    if needed:
        return lacking("Ryu", detail, install_modules("ryu"))
    fix = "make setup"
    detail = f"{detail}; the controller uses os-ken. Only a checkout installs Ryu"
    return lacking("Ryu", detail, fix, needed=False)


def _os_ken(probes: Probes) -> Check:
    """Needed where Ryu is missing."""
    if version := probes.python(_OS_KEN):
        return found("os-ken", version, needed=False)
    needed = not in_checkout() and probes.python(_RYU) is None
    fix = install_modules("os-ken>=4.0,<5")
    return lacking("os-ken", "Python cannot import it", fix, needed)


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
    _mininet,
    _scapy,
    _ryu,
    _os_ken,
)
