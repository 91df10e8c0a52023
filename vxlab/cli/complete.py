"""What the shell offers when a user presses Tab: labs, nodes, topologies, settings, components.

Completion must never fail or print: whatever goes wrong, nothing is offered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from vxlab.errors import LabError
from vxlab.lab.handle import Lab, find, labs
from vxlab.topology import registry
from vxlab.topology.options import COMMON, FLAG, Option

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Words = Callable[[click.Context], Iterable[str]]

COMPONENTS = ("controller", "ovs-vswitchd")


def _offer(words: Words, files: bool = False) -> Completer:
    """A completer for the words that begin with what was typed; files: offer files as well."""

    def complete(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        found: list[str] = []
        with contextlib.suppress(LabError, OSError, ValueError, KeyError, ImportError):
            found = [word for word in words(ctx) if word.startswith(typed)]
        if not found and files:
            return [CompletionItem(typed, type="file")]
        return [CompletionItem(word) for word in found]

    return complete


def _lab(ctx: click.Context) -> Lab:
    chosen: str | None = None
    at: click.Context | None = ctx
    while at is not None and chosen is None:  # `--lab` may stand before a command of a group
        chosen, at = at.params.get("lab"), at.parent
    return find(chosen)


def _argument(ctx: click.Context, name: str) -> str | None:
    """The value of an argument; click leaves arguments unread while an option lacks its value."""
    if ctx.params.get(name) is not None:
        return str(ctx.params[name])
    names = [each.name for each in ctx.command.params if isinstance(each, click.Argument)]
    place = names.index(name) if name in names else len(ctx.args)
    return ctx.args[place] if place < len(ctx.args) else None


def _rows(ctx: click.Context, kind: str | None = None) -> list[dict[str, Any]]:
    return _lab(ctx).nodes(kind)


def _names(kind: str | None = None) -> Words:
    return lambda ctx: [row["name"] for row in _rows(ctx, kind)]


def _linked(ctx: click.Context) -> Iterable[str]:
    """The nodes at the other end of the first node's links."""
    one = _argument(ctx, "one")
    for link in _lab(ctx).state.get("links", []):
        ends = (link["node1"], link["node2"])
        if one in ends:
            yield ends[1] if ends[0] == one else ends[0]


def _vnis(ctx: click.Context) -> Iterable[str]:
    """The VNIs of the chosen hypervisor; of the whole lab where none is chosen."""
    chosen = _argument(ctx, "hypervisor")
    rows = [row for row in _rows(ctx, "hypervisor") if chosen in (None, row["name"])]
    return sorted({str(vni) for row in rows for vni in row.get("vnis", [])}, key=int)


def _remotes(ctx: click.Context) -> Iterable[str]:
    chosen = _argument(ctx, "hypervisor")
    return [row["name"] for row in _rows(ctx, "hypervisor") if row["name"] != chosen]


def _macs(ctx: click.Context) -> Iterable[str]:
    return [row["mac"] for row in _rows(ctx, "vm")]


def _components(ctx: click.Context) -> Iterable[str]:
    return [*COMPONENTS, *_names("hypervisor")(ctx)]


def _options(ctx: click.Context) -> list[Option]:
    """The options of the topology on the command line; the common ones where there is none yet."""
    topology = _argument(ctx, "topology")
    own = registry.load(topology).options if topology else ()
    return [*own, *COMMON]


def _settings(typed: str, options: Iterable[Option]) -> list[str]:
    """KEY= for each option; after the `=`, each value that can be listed."""
    key, equals, _ = typed.partition("=")
    if not equals:
        return [f"{option.name}=" for option in options]
    name = key.partition(".")[0]
    return [f"{key}={v}" for option in options if option.name == name for v in _values(option)]


def _values(option: Option) -> list[str]:
    if option.kind is FLAG:
        return ["true", "false"]
    words = option.kind.allowed.split(" or ")
    return words if len(words) > 1 and all(" " not in word for word in words) else []


def settings(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Complete `--set KEY=VALUE`."""
    return _offer(lambda ctx: _settings(typed, _options(ctx)))(ctx, _, typed)


def _targets(ctx: click.Context) -> Iterable[str]:
    """Nodes, and NODE:INTERFACE for each end of a link."""
    yield from _names()(ctx)
    for link in _lab(ctx).state.get("links", []):
        for end in "12":
            yield f"{link[f'node{end}']}:{link[f'interface{end}']}"


lab_names = _offer(lambda _: [lab.name for lab in labs()])
nodes = _offer(_names())
vms = _offer(_names("vm"))
hypervisors = _offer(_names("hypervisor"))
linked = _offer(_linked)
vnis = _offer(_vnis)
macs = _offer(_macs)
remotes = _offer(_remotes)
components = _offer(_components)
targets = _offer(_targets)
topologies = _offer(lambda _: registry.names(), files=True)
