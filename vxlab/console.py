"""How output reaches the user: a table on a terminal, plain columns in a pipe, JSON if asked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import termios
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Row = Sequence[Any]


def on_terminal() -> bool:
    """Whether stdout is a terminal that a person reads; a CI job that records one is not."""
    return sys.stdout.isatty() and not os.environ.get("CI")


def as_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(document, indent=1))


def table(columns: Sequence[str], rows: Iterable[Row], title: str = "") -> None:
    """Print rows under column heads, never cut; None and empty cells show as a dash."""
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
    # lazy: rich costs 0.1 s, and pipes do without it
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    widths = column_widths([columns, *cells], console.width - _rules(columns))
    # Where whole words, such as addresses, need more than the terminal has, the table is wider:
    # the terminal wraps the line, and nothing is lost.
    console.width = max(console.width, sum(widths) + _rules(columns))
    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column, width in zip(columns, widths, strict=True):
        drawn.add_column(column, width=width)
    for row in cells:
        drawn.add_row(*map(Text, row))  # Text: rich would take `:b:` of an address for an emoji
    console.print(drawn)


def _rules(columns: Sequence[str]) -> int:
    """Characters of a line that are padding and rules."""
    return 3 * len(columns) + 1


def column_widths(rows: Sequence[Row], available: int) -> list[int]:
    """The width of each column so that rows fit, as far as that is possible by wrapping at blanks.

    The widest columns shrink first, none below its longest word.
    """
    cells = [list(column) for column in zip(*rows, strict=True)]
    widths = [max(map(len, column)) for column in cells]
    least = [max(len(word) for cell in column for word in [*cell.split(), ""]) for column in cells]
    while sum(widths) > available:
        spare = [number for number, width in enumerate(widths) if width > least[number]]
        if not spare:
            break
        widths[max(spare, key=widths.__getitem__)] -= 1
    return widths


class Progress:
    """One line on stderr that is rewritten on a terminal; nothing in a pipe."""

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


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Restore the settings and the foreground process group of the terminal at the end.

    For commands that let another program read the terminal: a program that is killed leaves it
    without echo, and an interactive shell in another PID namespace cannot give the foreground back.
    """
    if not os.isatty(0):
        yield
        return
    settings = termios.tcgetattr(0)
    try:
        group: int | None = os.tcgetpgrp(0)
    except OSError:
        group = None  # not the controlling terminal of this process
    try:
        yield
    finally:
        _restore_terminal(settings, group)


def _restore_terminal(settings: list[Any], group: int | None) -> None:
    # The kernel stops a background process that changes the terminal, unless SIGTTOU is ignored.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with contextlib.suppress(OSError, termios.error):
        if group is not None:
            os.tcsetpgrp(0, group)
        termios.tcsetattr(0, termios.TCSADRAIN, settings)
    signal.signal(signal.SIGTTOU, before)
