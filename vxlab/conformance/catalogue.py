"""The catalogue of statements: each row has a function that judges a VTEP in the test bed.

The modules in `rows/` register their rows with the decorator `row`; `rows_of` loads them all.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vxlab.conformance.setups import BASE, Setup
from vxlab.conformance.verdict import Finding
from vxlab.errors import UsageError

if TYPE_CHECKING:
    from vxlab.conformance.testbed import TestBed

Judge = Callable[["TestBed"], "Finding | None"]

BINDING = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED")
STATEMENT_KINDS = (*BINDING, "MAY", "plain")


@dataclass(frozen=True)
class Row:
    """One statement and how it is judged.

    section: of RFC 7348, or the name of another document with its section.
    kind: a keyword of RFC 2119, or "plain" for a statement without one.
    setup: the configuration that the VTEP under test is started with. option: the statement
    requires that the VTEP supports this setup, so a VTEP that refuses it deviates.
    """

    id: str
    section: str
    kind: str
    statement: str
    setup: Setup
    judge: Judge
    option: bool = False

    @property
    def binding(self) -> bool:
        """Whether a deviation is a failure."""
        return self.kind in BINDING


_rows: dict[str, Row] = {}


def row(
    id: str, section: str, kind: str, statement: str, setup: Setup = BASE, option: bool = False
) -> Callable[[Judge], Judge]:
    """Register a function as the judge of a statement."""
    if kind not in STATEMENT_KINDS:
        raise ValueError(f"{id}: kind {kind!r} must be one of: {', '.join(STATEMENT_KINDS)}")

    def register(judge: Judge) -> Judge:
        if id in _rows:
            raise ValueError(f"{id}: this row exists already")
        _rows[id] = Row(id, section, kind, statement, setup, judge, option)
        return judge

    return register


def _order(id: str) -> tuple[int, int, str]:
    letters, number, rest = re.fullmatch(r"([A-Z]+)(\d+)(.*)", id).groups()  # type: ignore[union-attr]
    return "NEMA".index(letters), int(number), rest


def rows_of(only: tuple[str, ...] = ()) -> list[Row]:
    """All rows in the order of their ids, or only those named; `N40` includes N40.carry.

    One name may be a list with commas: `N8,N14`. UsageError if a named row does not exist.
    """
    only = tuple(id.strip() for listed in only for id in listed.split(","))
    package = importlib.import_module("vxlab.conformance.rows")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    for named in only:
        if not any(_chosen(id, named) for id in _rows):
            raise UsageError(
                f"row {named} does not exist; rows: {' '.join(sorted(_rows, key=_order))}"
            )
    ids = [id for id in _rows if not only or any(_chosen(id, named) for named in only)]
    return [_rows[id] for id in sorted(ids, key=_order)]


def _chosen(id: str, named: str) -> bool:
    return id == named or id.startswith(f"{named}.")
