"""A lab for tests: started and queried through the command `vxlab`, as a user does it.

The name of a helper states what happens on failure: `run` and `ping` raise AssertionError with the
command, its status and its output; `try_run` and `try_ping` return the result.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import secrets
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vxlab.control import rpc
from vxlab.lab.handle import Lab, find, labs
from vxlab.testing.commands import VXLAB, vxlab, vxlab_ok
from vxlab.testing.polling import eventually
from vxlab.testing.recording import Recording, parse_target
from vxlab.topology.names import nic

_KEPT_PACKETS = 500
_NAME_MAX = 31  # of a lab
_running: list[RunningLab] = []

Row = dict[str, Any]


class StartFailed(AssertionError):
    """A lab did not start; `logs` are the texts of its logs by file name."""

    def __init__(self, text: str, logs: dict[str, str]) -> None:
        super().__init__(text)
        self.logs = logs


class RunningLab:
    """A lab that is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._packets: Recording | None = None

    @property
    def handle(self) -> Lab:
        """The lab as the command `vxlab` sees it."""
        return find(self.name)

    # -- acting

    def try_run(
        self, node: str, *command: str, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a node, whatever its exit status."""
        return vxlab("exec", "--lab", self.name, node, "--", *command, timeout=timeout)

    def run(self, node: str, *command: str, timeout: float = 60) -> str:
        """Run a command in a node and return its output; AssertionError if it fails."""
        done = self.try_run(node, *command, timeout=timeout)
        assert done.returncode == 0, (
            f"{node}: {' '.join(command)}: exit status {done.returncode}\n"
            f"{done.stdout}{done.stderr}"
        )
        return done.stdout

    def start(self, node: str, *command: str) -> subprocess.Popen[str]:
        """Start a command in a node and leave it running."""
        return subprocess.Popen(
            [*VXLAB, "exec", "--lab", self.name, node, "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ping(self, node: str, target: str, count: int = 1) -> None:
        """Ping an address or a node; AssertionError if a packet is lost."""
        self.run(node, *self._ping(target, count))

    def try_ping(self, node: str, target: str, count: int = 1) -> bool:
        """Ping an address or a node; whether all answers came."""
        return self.try_run(node, *self._ping(target, count)).returncode == 0

    def _ping(self, target: str, count: int) -> list[str]:
        address = target
        if not re.search(r"[.:]", target):
            address = address_of(self.node(target))
        return ["ping", "-c", str(count), "-i", "0.05", "-W", "2", address]

    def flush(self, *hypervisors: str) -> None:
        """Remove the learned rows of these hypervisors' VTEPs; of all without arguments."""
        for name in hypervisors or self.handle.hypervisors():
            rpc.ask(self.handle.directory.agent_socket(name), "flush")

    # -- looking

    def node(self, name: str) -> Row:
        """A node's row of `vxlab nodes`; a hypervisor's has its address as `underlay`."""
        return self.handle.node(name)

    def listing(self, command: str, *arguments: str) -> list[Row]:
        """The rows of `vxlab fdb`, `groups` or `stats`."""
        rows: list[Row] = json.loads(vxlab_ok(command, "--lab", self.name, "--json", *arguments))
        return rows

    def row(self, hypervisor: str, vni: int, mac: str) -> Row | None:
        """One row of a hypervisor's table; None if there is none."""
        rows = self.listing("fdb", hypervisor)
        return next((r for r in rows if (r["vni"], r["mac"]) == (vni, mac)), None)

    def assert_row(self, hypervisor: str, vni: int, mac: str, remote: str | None) -> None:
        """A hypervisor has a MAC behind this VTEP, or at a port of its own (None); at once."""
        row = self.row(hypervisor, vni, mac)
        assert row is not None, f"{hypervisor} has no row for {mac} in VNI {vni}"
        assert row["remote"] == remote, (
            f"{hypervisor}: {mac} is behind {row['remote']}, not {remote}"
        )

    def await_row(self, hypervisor: str, vni: int, mac: str, remote: str | None) -> None:
        """As `assert_row`, waiting up to 10 s."""
        eventually(lambda: self.assert_row(hypervisor, vni, mac, remote))

    # -- recording

    def record(self, *targets: str) -> Recording:
        """Record packets on `NODE:INTERFACE` or `NODE`; on all hypervisors' underlay links without.

        Close the recording, or use it in a `with` statement.
        """
        pairs = [parse_target(text) for text in targets] or self._underlay_links()
        return Recording(self.handle, pairs)

    captures = record

    def _underlay_links(self) -> list[tuple[str, str | None]]:
        return [(name, nic(name)) for name in self.handle.hypervisors()]

    def watch(self) -> None:
        """Keep the latest packets of the underlay links, which failures show."""
        self._packets = Recording(self.handle, self._underlay_links(), limit=_KEPT_PACKETS)

    @property
    def latest(self) -> Recording | None:
        """The latest packets of the underlay links; None unless `watch` was called."""
        return self._packets

    def stop_watching(self) -> None:
        """Drop what `watch` keeps."""
        if self._packets is not None:
            self._packets.close()
            self._packets = None

    # -- many pings

    def ping_each(self, pairs: Iterable[tuple[Row, Row]]) -> None:
        """For each pair of rows of `vxlab nodes` one VM pings the other; none may fail."""
        script = "".join(
            f"ip netns exec {one['name']} ping -c1 -W2 {address_of(other)} >/dev/null"
            f" || echo {one['name']} {other['name']}\n"
            for one, other in pairs
        )
        (switch, *_) = self.handle.nodes("switch")
        failed = self.run(switch["name"], "sh", "-c", script, timeout=100)
        assert failed == "", f"these did not reach each other:\n{failed}"

    def all_of_segment_reach_each_other(self, vni: int) -> None:
        """Every VM of a VNI pings every other."""
        vms = [row for row in self.handle.nodes("vm") if row["vni"] == vni]
        self.ping_each(itertools.permutations(vms, 2))


def address_of(row: Row) -> str:
    """A node's address without its prefix length."""
    return str(row["ip"][0].partition("/")[0])


def unique_name(start: str) -> str:
    """A lab name beginning with `start` that no other test run uses."""
    allowed = re.sub(r"[^a-z0-9_-]", "-", start.lower()).strip("-_") or "test"
    suffix = secrets.token_hex(3)
    return f"{allowed[: _NAME_MAX - len(suffix) - 1]}-{suffix}"


def running() -> list[RunningLab]:
    """The labs that `running_lab` has started and not ended yet."""
    return list(_running)


@contextlib.contextmanager
def running_lab(
    topology: str | Path, *settings: str, name: str | None = None, keep: bool = False
) -> Iterator[RunningLab]:
    """A lab that is READY, and gone afterwards; StartFailed if it does not start.

    topology: a name of `vxlab list`, or a file. settings: KEY=VALUE, as for `vxlab up --set`.
    name: the lab's name; a unique one by default. keep: leave it up.
    """
    name = name or unique_name(Path(topology).stem)
    _start(str(topology), name, settings)
    lab = RunningLab(name)
    _running.append(lab)
    try:
        yield lab
    finally:
        _running.remove(lab)
        lab.stop_watching()
        if not keep:
            vxlab("down", name)


def _start(topology: str, name: str, settings: tuple[str, ...]) -> None:
    options = [word for setting in settings for word in ("--set", setting)]
    command = ["up", topology, "--name", name, "-d", *options]
    done = vxlab(*command)
    if done.returncode == 0:
        return
    if done.returncode == 2 or not any(lab.name == name for lab in labs()):
        logs = {}  # nothing was started, or the name is used by another lab
    else:
        logs = _end_failed(name)
    text = f"vxlab {' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    raise StartFailed(text.strip(), logs)


def _end_failed(name: str) -> dict[str, str]:
    """End a lab that failed to start; returns its logs. A lab that runs already is left alone."""
    lab = find(name)
    if lab.state["state"] == "ready" and lab.init:
        return {}
    logs = sorted((lab.directory.path / "log").glob("*.log"))
    texts = {log.name: log.read_text(errors="replace") for log in logs}
    lab.end()
    return texts
