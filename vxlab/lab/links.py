"""The links of a running lab, and their state: `vxlab link`.

A link is a veth pair. Down means what it means in Mininet: both ends are set down. Setting an
interface down makes the kernel forget more than its state: routes through it, permanent neighbour
entries and IPv6 addresses. They are recorded before and restored when the link comes up again.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from vxlab.errors import LabError, UsageError

STATES = ("up", "down")
_KERNEL_ROUTES = ("local", "broadcast", "anycast", "multicast")  # the kernel makes them itself


@dataclass(frozen=True)
class LinkEnd:
    """One end of a link. namespace: its name for `ip -n`, empty for the lab's own namespace."""

    node: str
    interface: str
    namespace: str

    def ip(self, *words: str) -> list[str]:
        """An iproute2 command in the end's namespace."""
        return ["ip", *(["-n", self.namespace] if self.namespace else []), *words]


@dataclass(frozen=True)
class Link:
    """A veth pair between two nodes, and the state it was last set to or seen in."""

    one: LinkEnd
    other: LinkEnd
    state: str = "up"

    @property
    def ends(self) -> tuple[LinkEnd, LinkEnd]:
        """Both ends."""
        return self.one, self.other

    def joins(self, one: str, other: str) -> bool:
        """Whether it is a link between these nodes, in either order."""
        return {self.one.node, self.other.node} == {one, other}

    def row(self) -> dict[str, str]:
        """The link in the shape of `vxlab link show --json`."""
        return {
            "node1": self.one.node,
            "interface1": self.one.interface,
            "node2": self.other.node,
            "interface2": self.other.interface,
            "state": self.state,
        }


@dataclass
class Links:
    """All links of a lab; used by its control socket and its Mininet CLI, hence the lock."""

    links: list[Link] = field(default_factory=list)
    _lost: dict[LinkEnd, dict[str, list[str]]] = field(default_factory=dict)  # family -> commands
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def recorded(self) -> list[dict[str, str]]:
        """All links as last set or seen, without asking the kernel."""
        return [link.row() for link in self.links]

    def show(self) -> list[dict[str, str]]:
        """All links with their present state."""
        with self._lock:
            up = _up({_observed(link).namespace for link in self.links})
            for number, link in enumerate(self.links):
                end = _observed(link)
                state = STATES[(end.namespace, end.interface) not in up]
                self.links[number] = replace(link, state=state)
            return self.recorded()

    def set(self, one: str, other: str, state: str) -> list[dict[str, str]]:
        """Set all links between two nodes up or down; nothing changes for those that are so.

        UsageError names the links there are if the nodes are not linked.
        """
        if state not in STATES:
            raise UsageError(f"link {one} {other} {state}: must be up or down")
        with self._lock:
            numbers = [n for n, link in enumerate(self.links) if link.joins(one, other)]
            if not numbers:
                raise UsageError(f"{one} and {other} are not linked; links: {self._names()}")
            for number in numbers:
                for end in self.links[number].ends:
                    self._set_end(end, state)
                self.links[number] = replace(self.links[number], state=state)
            return [self.links[number].row() for number in numbers]

    def plugged(self, vm: str, switch: str) -> None:
        """Record that the cable of a VM now leads to another switch."""
        with self._lock:
            for number, link in enumerate(self.links):
                if link.one.node == vm:
                    self.links[number] = replace(link, other=replace(link.other, node=switch))
                elif link.other.node == vm:
                    self.links[number] = replace(link, one=replace(link.one, node=switch))

    def _names(self) -> str:
        return ", ".join(f"{link.one.node} {link.other.node}" for link in self.links)

    def _set_end(self, end: LinkEnd, state: str) -> None:
        is_up = _has_flag(end, "UP")
        if state == "down":
            if is_up:
                self._lost[end] = _would_be_lost(end)
                _keep_ipv6_addresses(end)
                _run(end.ip("link", "set", end.interface, "down"))
            return
        if not is_up:
            _run(end.ip("link", "set", end.interface, "up"))
        for family, commands in self._lost.pop(end, {}).items():
            _run(end.ip(family, "-batch", "-"), "\n".join(commands))


def of_mininet(links: Iterable[Any]) -> list[Link]:
    """The links of a Mininet network; nodes in a namespace are known to `ip -n` by their names."""
    return [Link(_end(link.intf1), _end(link.intf2)) for link in links]


def _end(interface: Any) -> LinkEnd:
    node = interface.node
    return LinkEnd(node.name, interface.name, node.name if node.inNamespace else "")


def _observed(link: Link) -> LinkEnd:
    """The end whose state is read; one in the lab's own namespace, where one look shows many.

    Either will do: a veth interface is operational only while both ends are up.
    """
    return link.one if not link.one.namespace else link.other


def _up(namespaces: Iterable[str]) -> set[tuple[str, str]]:
    """(namespace, interface) of all operational interfaces in these namespaces."""
    return {
        (namespace, row["ifname"])
        for namespace in namespaces
        for row in _json(LinkEnd("", "", namespace).ip("-j", "link", "show"))
        if {"UP", "LOWER_UP"} <= set(row["flags"])
    }


def _has_flag(end: LinkEnd, flag: str) -> bool:
    (row,) = _json(end.ip("-j", "link", "show", "dev", end.interface))
    return flag in row["flags"]


def _would_be_lost(end: LinkEnd) -> dict[str, list[str]]:
    """By address family, the `ip` commands that restore what setting the end down removes."""
    return {family: [*_routes(end, family), *_neighbours(end, family)] for family in ("-4", "-6")}


def _routes(end: LinkEnd, family: str) -> Iterator[str]:
    text = _run(end.ip(family, "route", "show", "table", "all", "dev", end.interface))
    for line in text.splitlines():
        words = [word for word in line.split() if word not in ("linkdown", "dead")]
        if words[0] not in _KERNEL_ROUTES and "proto kernel" not in " ".join(words):
            yield f"route replace {' '.join(words)} dev {end.interface}"


def _neighbours(end: LinkEnd, family: str) -> Iterator[str]:
    show = ("neigh", "show", "dev", end.interface, "nud", "permanent")
    for row in _json(end.ip("-j", family, *show)):
        if "lladdr" in row:
            address = f"{row['dst']} lladdr {row['lladdr']}"
            yield f"neigh replace {address} dev {end.interface} nud permanent"


def _keep_ipv6_addresses(end: LinkEnd) -> None:
    """Make the kernel keep the interface's static IPv6 addresses while it is down."""
    setting = f"/proc/sys/net/ipv6/conf/{end.interface}/keep_addr_on_down"
    inside = [f"--net=/run/netns/{end.namespace}"] if end.namespace else []
    # A kernel without IPv6 has no such file, and no addresses to keep.
    _run(["nsenter", *inside, "sh", "-c", f"[ ! -e '{setting}' ] || echo 1 > '{setting}'"])


def _json(command: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(_run(command) or "[]")
    return rows


def _run(command: list[str], lines: str = "") -> str:
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
