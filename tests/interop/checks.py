"""The checks of every ordered pair of kinds.

Each check returns an outcome for each pair of a lab: "yes", or what was seen instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.interop.pairs import Endpoint, KindsLab, Pair, inside, ping
from tests.support.poll import eventually
from vxlab.capture.packets import INBOUND
from vxlab.control import rpc
from vxlab.testing import Recording

Outcome = dict[Pair, str]

UNDERLAY_MTU = 1600  # over IPv4; the lab's default over IPv6 is as much more as the header
TUNNEL = 20 + 8 + 8 + 14  # outer IPv4, UDP, VXLAN, inner Ethernet
LARGEST = UNDERLAY_MTU - TUNNEL  # bytes of an inner IP packet that still fits


def arp_and_ping(kinds: KindsLab) -> Outcome:
    """ARP from a cold start, then three pings."""

    def command(pair: Pair) -> str:
        asks, answers = pair.asks, pair.answers
        return (
            f"{inside(asks)} ip neigh flush all && "
            f"{ping(asks, answers, count=3)} && "
            f"{inside(asks)} ip neigh show {answers.ip} | grep {answers.mac}"
        )

    return kinds.each(command, kinds.pairs)


def tables(kinds: KindsLab) -> Outcome:
    """Both VTEPs have both VMs in their tables: the local one at a port, the other at a remote."""
    kinds.meet()
    found = kinds.remotes()
    return {pair: _compared(pair, found) for pair in kinds.pairs}


def _compared(pair: Pair, found: dict[tuple[str, int, str], str | None]) -> str:
    for here, there in itertools.permutations((pair.asks, pair.answers)):
        for end, remote in ((here, None), (there, there.underlay)):
            row = (here.hypervisor, pair.vni, end.mac)
            if row not in found:
                return f"{here.hypervisor} has no row for {end.mac}"
            if found[row] != remote:
                return f"{here.hypervisor} has {end.mac} behind {found[row]}, not {remote}"
    return "yes"


def tcp(kinds: KindsLab) -> Outcome:
    """Two megabytes by TCP, with checksum and segmentation offload enabled in the VMs."""

    def command(pair: Pair) -> str:
        asks, answers = inside(pair.asks), inside(pair.answers)
        listens = f"until {answers} ss -ltnH | grep -q :5201; do :; done"
        return (
            f"{answers} iperf3 -s -1 > /dev/null & timeout 5 sh -c '{listens}'; "
            f"{asks} timeout 10 iperf3 -c {pair.answers.ip} -n 2M; "
            "status=$?; kill $! 2> /dev/null; exit $status"
        )

    return kinds.each(command, kinds.pairs)


def unknown_unicast(kinds: KindsLab) -> Outcome:
    """A frame for a MAC that does not exist is flooded: it reaches the other VM exactly once."""
    captures = kinds.running.record(*(f"{end.name}:{end.name}-eth0" for end in kinds.ends()))
    marks = {}
    for capture in captures.captures:
        for asks in {pair.asks for pair in kinds.pairs if pair.asks.name == capture.node}:
            marks[asks] = f"<unknown unicast from {asks.name}>".encode()
            nobody = "02:00:00:00:99:" + asks.mac[-2:]
            frame = Ether(src=asks.mac, dst=nobody) / IP(dst="10.0.9.9") / UDP(dport=9)
            capture.send(bytes(frame / marks[asks]))

    def copies(pair: Pair) -> int:
        return len(_arrived(captures, pair.answers, marks[pair.asks]))

    _await(lambda: all(copies(pair) for pair in kinds.pairs))
    kinds.ping_all()  # arrives after any second copy
    outcome = {p: "yes" if copies(p) == 1 else f"{copies(p)} copies" for p in kinds.pairs}
    captures.close()
    return outcome


def does_not_fit(kinds: KindsLab) -> Outcome:
    """A packet of the largest size that fits arrives; one byte more, and it is dropped entirely.

    RFC 7348 section 4.3: VTEPs do not fragment. Needs a narrow lab.
    """
    kinds.meet()
    captures = kinds.running.record(*(f"{end.name}:{end.name}-eth0" for end in kinds.ends()))
    sockets = {capture.node: capture for capture in captures.captures}
    for length in (LARGEST + 1, LARGEST):
        for number, pair in enumerate(kinds.pairs):
            sockets[pair.asks.name].send(_of_length(pair, number, length))
        kinds.meet()  # Open vSwitch drops the whole batch that contains a packet that is too big
    outcome = {pair: _fitted(captures, pair, number) for number, pair in enumerate(kinds.pairs)}
    captures.close()
    return outcome


def _of_length(pair: Pair, number: int, length: int) -> bytes:
    mark = _mark(number, length)
    ip = IP(src=pair.asks.ip, dst=pair.answers.ip, flags="DF") / UDP(dport=9)
    padding = bytes(length - 28 - len(mark))
    return bytes(Ether(src=pair.asks.mac, dst=pair.answers.mac) / ip / mark / padding)


def _mark(number: int, length: int) -> bytes:
    return f"<pair {number}, {length} bytes>".encode()


def _fitted(captures: Recording, pair: Pair, number: int) -> str:
    """The outcome of both frames; the larger one was sent first."""
    small, large = _mark(number, LARGEST), _mark(number, LARGEST + 1)
    if not _await(lambda: bool(_arrived(captures, pair.answers, small))):
        return f"{LARGEST} bytes do not arrive"
    lengths = {len(frame) - 14 for frame in _arrived(captures, pair.answers, large)}
    return f"{LARGEST + 1} bytes arrive as {sorted(lengths)}" if lengths else "yes"


def moved_vm(kinds: KindsLab) -> Outcome:
    """A VM that moves to a VTEP of another kind is reached there, and again after it returns."""
    outcome: Outcome = {}
    kinds.meet()
    for vni in {pair.vni for pair in kinds.pairs}:
        pairs = kinds.of_vni(vni)
        movers = list(dict.fromkeys(pair.asks for pair in pairs))
        for mover, target in zip(movers, movers[1:] + movers[:1], strict=True):
            observers = [pair for pair in pairs if pair.asks == mover]
            outcome |= dict(zip(observers, _move(kinds, observers, target), strict=True))
    return outcome


def _move(kinds: KindsLab, pairs: list[Pair], target: Endpoint) -> Iterator[str]:
    """Move the requesting VM of these pairs to another hypervisor and back; an outcome for each."""
    mover, control = pairs[0].asks, kinds.running.handle.directory.socket
    rpc.ask(control, "move", vm=mover.name, hypervisor=target.hypervisor)
    away = _seen_behind(kinds, pairs, target.underlay)
    answers = kinds.each(lambda pair: ping(pair.answers, pair.asks, count=2), pairs)
    rpc.ask(control, "move", vm=mover.name, hypervisor=mover.hypervisor)
    back = _seen_behind(kinds, pairs, mover.underlay)
    for pair in pairs:
        failed = [said for said in (away[pair], answers[pair], back[pair]) if said != "yes"]
        yield failed[0] if failed else "yes"


def _seen_behind(kinds: KindsLab, pairs: list[Pair], remote: str) -> Outcome:
    """Wait until the second VTEP of each pair has the first VM at a remote."""

    def unmoved() -> Outcome:
        rows = kinds.remotes()
        found = {p: rows.get((p.answers.hypervisor, p.vni, p.asks.mac)) for p in pairs}
        return {p: f"still behind {found[p]}" for p in pairs if found[p] != remote}

    if _await(lambda: not unmoved()):
        return dict.fromkeys(pairs, "yes")
    return {**dict.fromkeys(pairs, "yes"), **unmoved()}


def _arrived(captures: Recording, end: Endpoint, mark: bytes) -> list[bytes]:
    interface = f"{end.name}-eth0"
    return [
        captured.data
        for captured in captures.look()
        if captured.interface == interface
        and captured.direction == INBOUND
        and mark in captured.data
    ]


def _await(condition: Callable[[], bool]) -> bool:
    """Whether a condition becomes true within 5 s."""

    def check() -> None:
        assert condition()

    try:
        eventually(check, within=5)
    except AssertionError:
        return False
    return True


CHECKS: dict[str, Callable[[KindsLab], Outcome]] = {
    "ARP and ping": arp_and_ping,
    "tables": tables,
    "TCP": tcp,
    "unknown unicast": unknown_unicast,
    "MAC move": moved_vm,
    "too big": does_not_fit,
}
NARROW = {"too big"}  # these need VMs whose packets can be too big for the underlay


def wrong(outcome: Outcome) -> dict[str, str]:
    """The pairs whose outcome is not "yes", as text."""
    return {str(pair): said for pair, said in outcome.items() if said != "yes"}
