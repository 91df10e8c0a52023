"""Open captures on the links of a running lab, from outside."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from vxlab.capture.filter import compile_filter
from vxlab.capture.packets import Capture
from vxlab.errors import UsageError
from vxlab.lab.enter import SWITCH_KINDS, become_observer, enter_network
from vxlab.lab.handle import Lab
from vxlab.system.namespaces import CLONE_NEWNET, setns

_AGENT_TAPS = "vxtap"  # prefix of the names that vtep.fastpath.tap gives


def open_captures(
    lab: Lab, targets: Iterable[tuple[str, str | None]], expression: str | None = None
) -> list[Capture]:
    """Open one capture on each interface that (node, interface) pairs name, even if named twice.

    interface None means all of the node's links. expression: a capture filter in libpcap's
    language; UsageError if it is invalid.

    This process keeps the lab's privileges: a lab of an ordinary user has a user namespace, and a
    process in it cannot go back to the network namespace that it came from.
    """
    init = lab.init
    rows = [(lab.node(node), interface) for node, interface in targets]
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    become_observer(lab.directory, init)
    captures: dict[tuple[str, str], Capture] = {}
    program: bytes | None = None
    for row, interface in rows:
        enter_network(lab.directory, init, row["name"], row["kind"])
        for name in _chosen(lab, row, interface):
            if expression is not None and program is None:
                program = compile_filter(expression, name)  # the same for every Ethernet link
            key = (row["name"], name)
            if key not in captures:
                captures[key] = Capture(*key, program)
    with contextlib.suppress(PermissionError):
        setns(home, CLONE_NEWNET)
    os.close(home)
    return list(captures.values())


def _chosen(lab: Lab, row: dict[str, Any], interface: str | None) -> list[str]:
    """The interfaces that one target means; UsageError if the node has no such interface."""
    there = _interfaces(lab, row)
    if interface is None:
        return _links(there)
    if interface not in there:
        raise UsageError(f"{row['name']}:{interface}: must be one of {', '.join(there)}")
    return [interface]


def _interfaces(lab: Lab, row: dict[str, Any]) -> list[str]:
    """A node's interfaces that can be captured, read from inside its namespace."""
    names = {name for _, name in socket.if_nameindex() if name != "lo"}
    if row["kind"] in SWITCH_KINDS:  # they share one namespace; a moved VM's cable keeps its name
        names &= set(_recorded(lab, row["name"]))
    return sorted(names)


def _recorded(lab: Lab, node: str) -> Iterator[str]:
    """The interfaces of a node that are ends of links."""
    for link in lab.state.get("links", []):
        for end in "12":
            if link[f"node{end}"] == node:
                yield link[f"interface{end}"]


def _links(interfaces: list[str]) -> list[str]:
    """Those that are links; an agent's TAP devices would show the links' packets a second time."""
    return [name for name in interfaces if not name.startswith(_AGENT_TAPS)]
