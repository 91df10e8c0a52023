"""Bring a lab up from outside: check the machine, start the sandbox, follow its progress."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from vxlab.errors import LabError
from vxlab.lab.handle import Lab, how_it_ended, remember_init
from vxlab.lab.runner import LabRunner, LabSpec
from vxlab.system import sandbox
from vxlab.system.commands import use_system_directories
from vxlab.system.directory import LabDirectory
from vxlab.topology.overlay import OverlayTopo
from vxlab.waiting import await_condition

TOOLS = ("ovs-vsctl", "ovs-vswitchd", "ovsdb-server", "mnexec", "ip")
_TUN = Path("/dev/net/tun")

Report = Callable[[dict[str, Any]], None]


def choose_datapath() -> str:
    """Open vSwitch's datapath for a lab here: "kernel" if its module is loaded, else "user".

    Root loads the module if possible; once loaded, it works in user namespaces as well. LabError
    with the command that helps, where neither datapath can run.
    """
    module = Path("/sys/module/openvswitch")
    if os.geteuid() == 0 and not module.is_dir():
        # Many machines lack the module or forbid loading it: that is no fault, so stay silent.
        subprocess.run(["modprobe", "-q", "openvswitch"], stderr=subprocess.DEVNULL, check=False)
    if module.is_dir():
        return "kernel"
    if _tun_opens():
        return "user"
    raise LabError(_tun_fix())


def _tun_opens() -> bool:
    try:
        os.close(os.open(_TUN, os.O_RDWR))
    except OSError:
        return False
    return True


def _tun_fix() -> str:
    if not _TUN.exists():
        return f"{_TUN}: missing; `sudo modprobe tun` creates it"
    return (
        f"{_TUN}: this user may not open it, and Open vSwitch's userspace datapath needs it; "
        f"run `sudo chmod 0666 {_TUN}`, or run as root"
    )


def check_tools() -> None:
    """LabError naming what is not installed."""
    use_system_directories()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        fix = "`vxlab doctor` shows the command that installs it"
        raise LabError(f"{', '.join(missing)}: not installed; {fix}")


def bring_up(
    topology: str,
    topo: OverlayTopo,
    options: dict[str, str],
    name: str,
    mode: str,
    report: Report,
) -> tuple[Lab, int]:
    """Bring a lab up and return (it, the pid of its keeper) when it is READY.

    mode: "detached" outlives this process; "held" ends with it; "interactive" ends with it, too,
    and runs the Mininet CLI on this process's terminal, which this process then no longer uses.
    report: called with {"step", "number", "of"} before each step.
    """
    directory = LabDirectory.named(name)
    check_tools()
    ovs_datapath = choose_datapath()
    lock = directory.claim()
    ours, theirs = socket.socketpair()
    terminal = tuple(os.dup(place) for place in (0, 1, 2)) if mode == "interactive" else ()
    spec = LabSpec(directory, topology, topo, options, ovs_datapath, terminal)

    def main() -> int:
        ours.close()
        return LabRunner(spec, theirs).run()

    try:
        keeper, init = sandbox.start(main, directory.path, mode == "detached", directory.log("lab"))
    except LabError:
        directory.remove()
        raise
    finally:
        for descriptor in (lock, *terminal):
            os.close(descriptor)
        theirs.close()
    remember_init(directory, init)
    try:
        _follow(ours, report, directory)
    except LabError:
        _reap(keeper)  # the directory stays, for its logs
        raise
    except BaseException:  # Ctrl-C, a closed terminal: nothing may stay
        Lab.at(directory).end()
        raise
    if mode == "interactive":
        ours.sendall(b"g")
    return Lab.at(directory), keeper


def stay(lab: Lab, keeper: int) -> None:
    """Leave the terminal to the Mininet CLI of an interactive lab; the lab ends with it.

    keeper: as `bring_up` has returned it. However this function is left, nothing of the lab stays.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _reap(keeper)
    finally:
        lab.end()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGHUP (the terminal was closed) and SIGTERM end this process by its `finally` clauses.

    The exit status is 128 and the signal's number, as shells have it. A signal that is ignored,
    as `nohup` does it, stays ignored.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the clauses
        raise SystemExit(128 + number)

    changed = {}
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_DFL:
            changed[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, previous in changed.items():
            signal.signal(number, previous)


def _messages(stream: socket.socket) -> Iterator[dict[str, Any]]:
    with stream.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _follow(stream: socket.socket, report: Report, directory: LabDirectory) -> None:
    """Pass on progress until the lab is READY; LabError with the cause if it fails."""
    step = "its first step"
    for message in _messages(stream):
        if "error" in message:
            raise LabError(message["error"])
        if message.get("ready"):
            return
        step = f"the step '{message['step']}'"
        report(message)
    _await_end(directory)
    raise LabError(f"lab {directory.name} ended during {step}: {how_it_ended(directory)}")


def _await_end(directory: LabDirectory) -> None:
    """Wait until the first process has ended, and with it noted how the main process ended."""
    await_condition(lambda: "it is alive" if directory.alive() else None, "lab ends")


def _reap(keeper: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(keeper, 0)
