"""Open captures on the links of a running lab, from outside."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable

from vxlab.capture.packets import Capture
from vxlab.errors import UsageError
from vxlab.lab.enter import SWITCH_KINDS, become_observer, enter_network
from vxlab.lab.handle import Lab
from vxlab.system.namespaces import CLONE_NEWNET, setns
from vxlab.topology.names import is_port_of

_AGENT_TAPS = "vxtap"  # prefix of the names that vtep.fastpath.tap gives


def open_captures(lab: Lab, targets: Iterable[tuple[str, str | None]]) -> list[Capture]:
    """Open captures on (node, interface) pairs; interface None means all of the node's links.

    This process keeps the lab's privileges: a lab of an ordinary user has a user namespace, and a
    process in it cannot go back to the network namespace that it came from.
    """
    init = lab.init
    rows = [(lab.node(node), interface) for node, interface in targets]
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    become_observer(lab.directory, init)
    captures = []
    for row, interface in rows:
        enter_network(lab.directory, init, row["name"], row["kind"])
        there = _interfaces(row["name"], row["kind"])
        if interface is not None and interface not in there:
            raise UsageError(f"{row['name']}:{interface}: must be one of {', '.join(there)}")
        captures += [
            Capture(row["name"], name) for name in ([interface] if interface else _links(there))
        ]
    with contextlib.suppress(PermissionError):
        setns(home, CLONE_NEWNET)
    os.close(home)
    return captures


def _interfaces(node: str, kind: str) -> list[str]:
    """A node's interfaces that can be captured, read from inside its namespace."""
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    if kind in SWITCH_KINDS:  # all switches share one namespace
        names = [name for name in names if is_port_of(node, name)]
    return sorted(names)


def _links(interfaces: list[str]) -> list[str]:
    """Those that are links; an agent's TAP devices would show the links' packets a second time."""
    return [name for name in interfaces if not name.startswith(_AGENT_TAPS)]
