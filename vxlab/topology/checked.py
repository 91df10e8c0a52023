"""A Mininet Topo that records where each node was named, and rejects conflicting names and links.

Mininet itself lets a second node of one name replace the first, and lets switches form a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mininet.topo import Topo

from vxlab.errors import UsageError
from vxlab.topology.names import check_name
from vxlab.topology.places import Place, TopologyError, calling_place, located_error, placed
from vxlab.topology.validation import Trees


@dataclass(frozen=True)
class Named:
    """A node that a topology file has named: its kind, and the line that did so."""

    kind: str
    place: Place | None


class CheckedTopo(Topo):
    """Names, places and the tree of switches; what the nodes are is up to the subclass."""

    def build(self, **_values: Any) -> None:
        """Mininet's hook: begin with nothing named."""
        self._named: dict[str, Named] = {}
        self._switches = Trees()

    def is_checked(self) -> bool:
        """Whether `build` ran, which a subclass's own __init__ or build may have prevented."""
        return hasattr(self, "_switches")

    def claim(self, kind: str, name: object) -> None:
        """Check a new node's name and remember the line that named it; UsageError if invalid."""
        self._check_free(kind, check_name(kind, name))
        self._named[str(name)] = Named(kind, calling_place())

    def claim_derived(self, kind: str, name: str) -> None:
        """Enter a node that a word adds by itself, under a name that files may not use."""
        self._check_free(kind, name)
        self._named[name] = Named(kind, calling_place())

    def claim_switch(self, name: str) -> None:
        """Let a switch take part in the underlay's tree."""
        self._switches.add(name)

    def _check_free(self, kind: str, name: str) -> None:
        if name not in self.g.node:
            return
        first = self._named.get(name, Named("node", None))
        line = f" (line {first.place.line})" if first.place else ""
        raise UsageError(
            f"{kind} {name}: the name is that of a {first.kind} already{line}; must be unique in a "
            "lab"
        )

    def error_about(self, node: str, message: str) -> TopologyError:
        """An error about a node that has been named, at the line that named it."""
        named = self._named[node]
        return located_error(named.place, f"{named.kind} {node}: {message}")

    def check_tree(self) -> None:
        """TopologyError where a switch of the underlay has no path to the first one."""
        switches = self._switches.roots()
        root = next(iter(switches.values()), None)
        for switch, own in switches.items():
            if own != root:
                raise self.error_about(
                    switch,
                    f"is not connected to switch {next(iter(switches))}; all switches must form "
                    "one tree: give it an uplink",
                )

    @placed
    def addNode(self, name: str, **opts: Any) -> str:  # the name is Mininet's
        """Mininet's own, but the name must be valid and new: a second node replaces the first."""
        self._check_free("node", name)
        if name not in self._named:  # a file called Mininet's addHost or addSwitch itself
            check_name("switch" if opts.get("isSwitch") else "node", name)
        added: str = super().addNode(name, **opts)
        return added

    @placed
    def addLink(self, node1: str, node2: str, *args: Any, **opts: Any) -> Any:  # Mininet's name
        """Mininet's own, but a link that closes a loop in the underlay is an error."""
        if node1 == node2 and node1 not in self._switches:
            raise UsageError(f"node {node1}: is linked to itself; must be linked to another node")
        if node1 in self._switches and node2 in self._switches:
            self._switches.join(node1, node2)
        return super().addLink(node1, node2, *args, **opts)
