"""The ordered pairs of a lab of `every_kind`, and how many are asked at once by one shell."""

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
TOO_MUCH = 1600  # a VM MTU that the underlay's links do not take with its tunnel headers


@dataclass(frozen=True)
class End:
    """A VM, and the hypervisor it is behind."""

    name: str
    ip: str
    mac: str
    hypervisor: str
    underlay: str
    kind: str


@dataclass(frozen=True)
class Pair:
    """A VM that asks and one that answers, in one VNI."""

    asks: End
    answers: End
    vni: int

    @property
    def flooding(self) -> str:
        """How the VNI floods."""
        return "multicast" if self.vni == every_kind.MULTICAST else "head-end"

    def __str__(self) -> str:
        return f"{self.asks.kind} -> {self.answers.kind}, {self.flooding}"


class KindsLab:
    """A lab with two hypervisors of each kind, and its pairs."""

    def __init__(self, running: RunningLab, family: str) -> None:
        self.running = running
        self.family = family
        self.pairs = _pairs(running)

    def ends(self) -> list[End]:
        """Every VM that asks or answers, once."""
        return list({end for pair in self.pairs for end in (pair.asks, pair.answers)})

    def of_vni(self, vni: int) -> list[Pair]:
        """The pairs of one VNI."""
        return [pair for pair in self.pairs if pair.vni == vni]

    def each(self, command: Callable[[Pair], str], pairs: list[Pair]) -> dict[Pair, str]:
        """Run a shell command for each pair in turn: "yes", or what it said when it failed."""
        script = "".join(
            f"said=$({command(pair)} 2>&1) || printf '%s %s\\n' {number} \"$(echo $said)\"\n"
            for number, pair in enumerate(pairs)
        )
        outcome = dict.fromkeys(pairs, "yes")
        for line in self.running.run("s1", "sh", "-c", script, timeout=200).splitlines():
            number, _, said = line.partition(" ")
            outcome[pairs[int(number)]] = said or "failed without a word"
        return outcome

    def ping_all(self) -> dict[Pair, str]:
        """Each asking VM pings its answering one."""
        return self.each(lambda pair: ping(pair.asks, pair.answers), self.pairs)

    def meet(self) -> None:
        """Let both ends of all pairs know each other; who must first resolve may lose a packet."""

        def met() -> None:
            failed = {str(pair): said for pair, said in self.ping_all().items() if said != "yes"}
            assert not failed, failed

        eventually(met)

    def remotes(self) -> dict[tuple[str, int, str], str | None]:
        """All tables: (hypervisor, VNI, MAC) -> the VTEP it is behind."""
        answers, dead = self.running.handle.ask_agents("fdb")
        assert not dead, dead
        return {
            (row["hypervisor"], row["vni"], row["mac"]): row["remote"]
            for _, rows in answers
            for row in rows
        }


def inside(end: End) -> str:
    """The words before a command that is to run in a VM."""
    return f"ip netns exec {end.name}"


def ping(asks: End, answers: End, count: int = 1) -> str:
    """The command by which one VM pings another, losing nothing."""
    return f"{inside(asks)} ping -c{count} -i.05 -W3 {answers.ip}"


@contextlib.contextmanager
def kinds_lab(family: str, narrow: bool = False) -> Iterator[KindsLab]:
    """A lab of `every_kind` over an underlay of "ipv4" or "ipv6".

    narrow: the VMs may send more than the underlay carries.
    """
    topology, settings = Path(every_kind.__file__), [f"underlay={family}", *every_kind.SETTINGS]
    if narrow:
        settings.append(f"vm_mtu={TOO_MUCH}")
    name = f"t-kinds-{family}" + ("-narrow" if narrow else "")
    with lab(str(topology), name, *settings) as running:
        yield KindsLab(running, family)


def _pairs(running: RunningLab) -> list[Pair]:
    """The first hypervisor of each kind asks, the second of each kind answers."""
    hypervisors = {row["name"]: row for row in running.handle.nodes("hypervisor")}
    first: dict[tuple[int, str], End] = {}
    second: dict[tuple[int, str], End] = {}
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


def _end(vm: Row, hypervisor: Row) -> End:
    where = (vm["hypervisor"], hypervisor["underlay"], hypervisor["vtep"])
    return End(vm["name"], address_of(vm), vm["mac"], *where)
