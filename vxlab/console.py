"""How listings reach the reader: a table on a terminal, columns in a pipe, JSON if asked."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

Row = Sequence[Any]


def on_terminal() -> bool:
    """Whether a person reads along: a terminal, and not a CI job that records one."""
    return sys.stdout.isatty() and not os.environ.get("CI")


def as_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=1))


def table(columns: Sequence[str], rows: Iterable[Row], title: str = "") -> None:
    """Print rows under column heads; None and empty cells show as a dash."""
    cells = [[_text(cell) for cell in row] for row in rows]
    if on_terminal():
        _rich_table(columns, cells, title)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in ([title] if title else []) + [_line(row, widths) for row in [columns, *cells]]:
        print(line)


def _line(row: Row, widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _text(cell: Any) -> str:
    if cell is None or cell == "" or cell == []:
        return "-"
    if isinstance(cell, list):
        return " ".join(map(str, cell))
    return str(cell)


def _rich_table(columns: Sequence[str], cells: list[list[str]], title: str) -> None:
    # lazy: rich costs 0.1 s, and pipes do not need it
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for row in cells:
        drawn.add_row(*row)
    Console().print(drawn)


class Progress:
    """One line that moves on a terminal; nothing in a pipe."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._live = sys.stderr.isatty() and not os.environ.get("CI")

    def __call__(self, message: dict[str, Any]) -> None:
        """Show a step of bring_up."""
        self._write(f"\r\x1b[K{self._what} [{message['number']}/{message['of']}] {message['step']}")

    def done(self) -> None:
        """Clear the line."""
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        if self._live:
            with contextlib.suppress(OSError):  # the terminal was closed; SIGHUP ends the command
                sys.stderr.write(text)
                sys.stderr.flush()
