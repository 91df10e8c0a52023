"""Bring a lab up from outside: check, claim, start the sandbox, follow its progress."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vxlab.errors import LabError
from vxlab.lab.handle import Lab, remember_init
from vxlab.lab.runner import Life, Order
from vxlab.system import sandbox
from vxlab.system.directory import LabDirectory
from vxlab.topology.overlay import OverlayTopo

TOOLS = ("ovs-vsctl", "ovs-vswitchd", "ovsdb-server", "mnexec", "ip")
_TUN = Path("/dev/net/tun")

Report = Callable[[dict[str, Any]], None]


def choose_datapath() -> str:
    """Open vSwitch's datapath for a lab here: "kernel" where its module is there, else "user".

    Root loads the module if it can; loaded, it serves user namespaces as well. LabError with the
    cure where neither datapath can run.
    """
    module = Path("/sys/module/openvswitch")
    if os.geteuid() == 0 and not module.is_dir():
        subprocess.run(["modprobe", "-q", "openvswitch"], capture_output=True, check=False)
    if module.is_dir():
        return "kernel"
    if _tun_opens():
        return "user"
    raise LabError(_tun_cure())


def _tun_opens() -> bool:
    try:
        os.close(os.open(_TUN, os.O_RDWR))
    except OSError:
        return False
    return True


def _tun_cure() -> str:
    if not _TUN.exists():
        return f"{_TUN}: missing; `sudo modprobe tun` makes it"
    return (
        f"{_TUN}: may not be opened by this user, and Open vSwitch's userspace datapath needs it; "
        f"`sudo chmod 0666 {_TUN}` opens it, running as root works too"
    )


def check_tools() -> None:
    """LabError naming what is not installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise LabError(f"{', '.join(missing)}: not installed; `make setup` installs it")


def bring_up(
    topology: str,
    topo: OverlayTopo,
    options: dict[str, str],
    name: str,
    mode: str,
    report: Report,
) -> tuple[Lab, int]:
    """Bring a lab up and return (it, the pid of its keeper) when it is READY.

    mode: "detached" lives on by itself; "held" ends with this process; "interactive" runs the
    Mininet CLI next, when the caller has called `leave_terminal`.
    report: called with {"step", "number", "of"} as the work goes on.
    """
    directory = LabDirectory.named(name)
    check_tools()
    datapath = choose_datapath()
    lock = directory.claim()
    ours, theirs = socket.socketpair()
    order = Order(directory, topology, topo, options, datapath, mode == "interactive")

    log = None if order.interactive else directory.log("lab")

    def main() -> int:
        ours.close()
        return Life(order, theirs).run()

    try:
        keeper, init = sandbox.start(main, directory.path, mode == "detached", log)
    except LabError:
        directory.remove()
        raise
    finally:
        os.close(lock)
        theirs.close()
    remember_init(directory, init)
    try:
        _follow(ours, report)
    except LabError:
        _reap(keeper)  # the directory stays: its logs say why
        raise
    except KeyboardInterrupt:
        Lab.at(directory).end()
        raise
    if mode == "interactive":
        ours.sendall(b"g")
    return Lab.at(directory), keeper


def _messages(stream: socket.socket) -> Iterator[dict[str, Any]]:
    with stream.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _follow(stream: socket.socket, report: Report) -> None:
    """Pass on progress until the lab is ready; LabError with its words when it fails."""
    for message in _messages(stream):
        if "error" in message:
            raise LabError(message["error"])
        if message.get("ready"):
            return
        report(message)
    raise LabError("the lab's first process ended before the lab was ready")


def _reap(keeper: int) -> None:
    try:
        os.waitpid(keeper, 0)
    except ChildProcessError:
        return
