"""The ordered pairs of VTEP kinds in a lab of `every_kind`, and commands run for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop import every_kind
from tests.support.labs import RunningLab, address_of, lab
from tests.support.poll import eventually

Row = dict[str, Any]
TOO_BIG_MTU = 1600  # of the VMs: their packets and the tunnel headers exceed the underlay's MTU


@dataclass(frozen=True)
class Endpoint:
    """A VM and its hypervisor."""

    name: str
    ip: str
    mac: str
    hypervisor: str
    underlay: str
    kind: str


@dataclass(frozen=True)
class Pair:
    """A VM that sends a request and one that replies, in one VNI."""

    asks: Endpoint
    answers: Endpoint
    vni: int

    @property
    def flooding(self) -> str:
        """How the VNI floods: "multicast" or "head-end"."""
        return "multicast" if self.vni == every_kind.MULTICAST else "head-end"

    def __str__(self) -> str:
        return f"{self.asks.kind} -> {self.answers.kind}, {self.flooding}"


class KindsLab:
    """A lab with two hypervisors of each kind, and its pairs."""

    def __init__(self, running: RunningLab, family: str) -> None:
        self.running = running
        self.family = family
        self.pairs = _pairs(running)

    def ends(self) -> list[Endpoint]:
        """Every VM of the pairs, once."""
        return list({end for pair in self.pairs for end in (pair.asks, pair.answers)})

    def of_vni(self, vni: int) -> list[Pair]:
        """The pairs of one VNI."""
        return [pair for pair in self.pairs if pair.vni == vni]

    def each(self, command: Callable[[Pair], str], pairs: list[Pair]) -> dict[Pair, str]:
        """Run a shell command for each pair in turn: "yes", or its output if it fails."""
        script = "".join(
            f"output=$({command(pair)} 2>&1) || printf '%s %s\\n' {number} \"$(echo $output)\"\n"
            for number, pair in enumerate(pairs)
        )
        outcome = dict.fromkeys(pairs, "yes")
        for line in self.running.run("s1", "sh", "-c", script, timeout=200).splitlines():
            number, _, output = line.partition(" ")
            outcome[pairs[int(number)]] = output or "failed without output"
        return outcome

    def ping_all(self) -> dict[Pair, str]:
        """The first VM of each pair pings the second."""
        return self.each(lambda pair: ping(pair.asks, pair.answers), self.pairs)

    def meet(self) -> None:
        """Ping until both ends of all pairs have learned each other; first packets may be lost."""

        def met() -> None:
            failed = {str(pair): found for pair, found in self.ping_all().items() if found != "yes"}
            assert not failed, failed

        eventually(met)

    def remotes(self) -> dict[tuple[str, int, str], str | None]:
        """All tables: (hypervisor, VNI, MAC) -> remote."""
        answers, dead = self.running.handle.ask_agents("fdb")
        assert not dead, dead
        return {
            (row["hypervisor"], row["vni"], row["mac"]): row["remote"]
            for _, rows in answers
            for row in rows
        }


def inside(end: Endpoint) -> str:
    """The prefix of a command that runs in a VM."""
    return f"ip netns exec {end.name}"


def ping(asks: Endpoint, answers: Endpoint, count: int = 1) -> str:
    """The command by which one VM pings another; it fails if a reply is missing."""
    return f"{inside(asks)} ping -c{count} -i.05 -W3 {answers.ip}"


@contextlib.contextmanager
def kinds_lab(family: str, narrow: bool = False) -> Iterator[KindsLab]:
    """A lab of `every_kind` over an underlay of "ipv4" or "ipv6".

    narrow: the VMs may send packets that are too big for the underlay.
    """
    topology, settings = Path(every_kind.__file__), [f"underlay={family}", *every_kind.SETTINGS]
    if narrow:
        settings.append(f"vm_mtu={TOO_BIG_MTU}")
    name = f"t-kinds-{family}" + ("-narrow" if narrow else "")
    with lab(str(topology), name, *settings) as running:
        yield KindsLab(running, family)


def _pairs(running: RunningLab) -> list[Pair]:
    """Pairs: VMs of the first hypervisor of each kind send requests to VMs of each second one."""
    hypervisors = {row["name"]: row for row in running.handle.nodes("hypervisor")}
    first: dict[tuple[int, str], Endpoint] = {}
    second: dict[tuple[int, str], Endpoint] = {}
    for row in running.handle.nodes("vm"):
        end = _end(row, hypervisors[row["hypervisor"]])
        side = second if (row["vni"], end.kind) in first else first
        side[row["vni"], end.kind] = end
    return [
        Pair(asks, answers, vni)
        for (vni, _), asks in first.items()
        for (other, _), answers in second.items()
        if vni == other
    ]


def _end(vm: Row, hypervisor: Row) -> Endpoint:
    where = (vm["hypervisor"], hypervisor["underlay"], hypervisor["vtep"])
    return Endpoint(vm["name"], address_of(vm), vm["mac"], *where)
