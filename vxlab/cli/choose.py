"""Parameters that several commands share, above all the one way in which they select a lab."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from vxlab.cli import complete
from vxlab.errors import LabError, UsageError
from vxlab.lab.handle import Lab, find

json_option = click.option("--json", "json_", is_flag=True, help="Print one JSON document.")
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete.settings,
    help="Set an option (see `vxlab list`); may be repeated.",
)


def _inherit(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """A `--lab` between a group and its command (`vxlab vni --lab X add`) holds for the command."""
    if value is not None and ctx.obj not in (None, value):
        raise UsageError(f"--lab {ctx.obj} and --lab {value}: give one lab")
    return value if value is not None else ctx.obj


lab_option = click.option(
    "--lab",
    metavar="LAB",
    callback=_inherit,
    shell_complete=complete.lab_names,
    help="Lab to use; default: $VXLAB_LAB, else the only lab.",
)


def lab_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept the lab as `[LAB]` and as `--lab`; the function gets the one name as `lab`."""

    @click.argument("named", metavar="[LAB]", required=False, shell_complete=complete.lab_names)
    @lab_option
    @functools.wraps(function)
    def command(lab: str | None, named: str | None, **rest: Any) -> Any:
        return function(lab=_one_lab(lab, named), **rest)

    return command


def _one_lab(option: str | None, argument: str | None) -> str | None:
    if option is None or argument is None or option == argument:
        return argument or option
    source = click.get_current_context().get_parameter_source("lab")
    if source is ParameterSource.ENVIRONMENT:
        return argument  # the command line overrides the environment
    raise UsageError(f"{argument} and --lab {option}: give one lab")


def lab_group(name: str, help_: str, cls: type[click.Group] = click.Group) -> click.Group:
    """A group of commands that accepts `--lab` itself and passes it to its commands."""

    @click.group(name, cls=cls, help=help_)
    @lab_option
    @click.pass_context
    def group(ctx: click.Context, lab: str | None) -> None:
        ctx.obj = lab

    return group


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """`("a=1", "b.hv1=2")` as a dictionary; UsageError for anything that is not KEY=VALUE."""
    parsed = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"--set {text}: must be KEY=VALUE")
        parsed[key] = value
    return parsed


def announce_dead(lab: Lab) -> bool:
    """Print the failed components of a lab on stderr; returns whether there are any."""
    dead = lab.dead()
    for line in dead:
        print(f"vxlab: {line}", file=sys.stderr)
    return bool(dead)


def find_alive(name: str | None) -> Lab:
    """The lab of that name or the only one; LabError if it is dead.

    Failed components of a running lab are announced on stderr.
    """
    lab = find(name)
    if not lab.init:
        raise LabError(lab.dead()[0])
    announce_dead(lab)
    return lab
