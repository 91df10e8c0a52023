"""Labs for tests: brought up and asked through the `vxlab` command, as a user does."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.support.forked import vxlab_forked
from tests.support.poll import eventually
from vxlab.capture.decode import Encapsulated, encapsulated
from vxlab.capture.packets import Capture, drain
from vxlab.lab.captures import open_captures
from vxlab.lab.handle import Lab, find

VXLAB = [sys.executable, "-m", "vxlab"]
CHECKOUT = Path(__file__).resolve().parents[2]
UP_WITHIN_S = 120
# What starts or ends nothing of its own: a fork does, and need not start Python.
ASKING = (
    *("exec", "fdb", "flush", "groups", "link", "move", "nodes", "ps", "restart"),
    *("static", "stats", "vni"),
)


def vxlab(*arguments: str, timeout: float = UP_WITHIN_S) -> subprocess.CompletedProcess[str]:
    """Run `vxlab`, whatever its exit status."""
    if arguments[0] in ASKING:
        return vxlab_forked(*arguments, timeout=timeout)
    return subprocess.run(
        [*VXLAB, *arguments], capture_output=True, text=True, timeout=timeout, cwd=CHECKOUT
    )


def vxlab_ok(*arguments: str) -> str:
    """Run `vxlab` and return its output; AssertionError with all it said if it fails."""
    done = vxlab(*arguments)
    assert done.returncode == 0, (
        f"vxlab {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


class RunningLab:
    """A lab that is up."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def handle(self) -> Lab:
        """The lab as the tool itself sees it."""
        return find(self.name)

    def try_run(
        self, node: str, *command: str, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a node, whatever its exit status."""
        return vxlab("exec", "--lab", self.name, node, "--", *command, timeout=timeout)

    def run(self, node: str, *command: str, timeout: float = 60) -> str:
        """Run a command in a node and return its output; AssertionError if it fails."""
        done = self.try_run(node, *command, timeout=timeout)
        assert done.returncode == 0, (
            f"{node}: {command}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def ping(self, node: str, address: str, count: int = 1) -> None:
        """Ping and lose nothing."""
        self.run(node, "ping", "-c", str(count), "-i", "0.05", "-W", "2", address)

    def start(self, node: str, *command: str) -> subprocess.Popen[str]:
        """Start a command in a node and leave it running."""
        return subprocess.Popen(
            [*VXLAB, "exec", "--lab", self.name, node, "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
        )

    def listing(self, command: str, *arguments: str) -> list[dict[str, Any]]:
        """A listing's JSON document: fdb, groups, stats."""
        return json.loads(vxlab_ok(command, "--lab", self.name, "--json", *arguments))

    def row(self, hypervisor: str, vni: int, mac: str) -> dict[str, Any] | None:
        """One row of a hypervisor's table."""
        rows = self.listing("fdb", hypervisor)
        return next((r for r in rows if (r["vni"], r["mac"]) == (vni, mac)), None)

    def assert_row(self, hypervisor: str, vni: int, mac: str, remote: str | None) -> None:
        """A MAC of a VNI is behind a VTEP, as this hypervisor sees it."""
        row = self.row(hypervisor, vni, mac)
        assert row is not None, f"{hypervisor} has no row for {mac} in VNI {vni}"
        assert row["remote"] == remote, (
            f"{hypervisor}: {mac} is behind {row['remote']}, not {remote}"
        )

    def await_row(self, hypervisor: str, vni: int, mac: str, remote: str | None) -> None:
        """The same, after a while."""
        eventually(lambda: self.assert_row(hypervisor, vni, mac, remote))

    def captures(self, *targets: str) -> Captures:
        """Captures on NODE:INTERFACE links."""
        pairs = [
            (node, interface or None) for node, _, interface in (t.partition(":") for t in targets)
        ]
        return Captures(open_captures(self.handle, pairs))

    def ping_each(self, pairs: Iterable[tuple[dict, dict]]) -> None:
        """One VM pings the other, for each pair of rows of `vxlab nodes`; none may fail."""
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


def address_of(row: dict[str, Any]) -> str:
    """A node's address without its prefix length."""
    return str(row["ip"][0].partition("/")[0])


class Captures:
    """What a set of captures has seen."""

    def __init__(self, captures: list[Capture]) -> None:
        self.captures = captures
        self.seen: list[Any] = []

    def look(self) -> list[Any]:
        """Take in what waits; returns all that was ever seen, oldest first."""
        self.seen += drain(self.captures)
        return self.seen

    def vxlan(self, interface: str, direction: int | None = None) -> list[Encapsulated]:
        """The VXLAN packets an interface carried."""
        self.look()
        wanted = [
            s for s in self.seen if s.interface == interface and direction in (None, s.direction)
        ]
        return [packet for packet in map(encapsulated, wanted) if packet is not None]

    def close(self) -> None:
        """Close the sockets."""
        for capture in self.captures:
            capture.socket.close()


@contextlib.contextmanager
def lab(topology: str, name: str, *settings: str) -> Iterator[RunningLab]:
    """A lab that is READY, and gone afterwards; `settings` are KEY=VALUE."""
    arguments = [word for setting in settings for word in ("--set", setting)]
    vxlab_ok("up", topology, "--name", name, "-d", *arguments)
    try:
        yield RunningLab(name)
    finally:
        vxlab("down", name)


def namespaces_in_use() -> set[str]:
    """The network namespaces of all processes of this machine."""
    return {link for pid in _pids() if (link := _net_of(pid))}


def namespaces_of(directory: Path) -> set[str]:
    """The network namespaces of a lab's processes, other than this process's own."""
    theirs = {_net_of(Path("/proc") / pid) for pid in processes_of(directory)}
    return {link for link in theirs if link} - {_net_of(Path("/proc/self")) or ""}


def _pids() -> Iterator[Path]:
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def _net_of(process: Path) -> str | None:
    try:
        return str((process / "ns" / "net").readlink())
    except OSError:
        return None


def processes_of(directory: Path) -> list[str]:
    """The pids of all processes that carry a lab's directory in their environment."""
    marker = f"VXLAB_DIR={directory}".encode()
    return [path.name for path in _pids() if marker in _environment(path)]


def processes_below(base: Path) -> list[str]:
    """The pids of all processes of any lab below a base directory."""
    marker = f"VXLAB_DIR={base}/".encode()
    return [path.name for path in _pids() if any(e.startswith(marker) for e in _environment(path))]


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
