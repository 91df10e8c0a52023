"""Where in a topology file something was written, so that an error can name file and line.

A topology is ordinary Python: the line of a mistake is the line of the user's code that called one
of our words (`self.vm(...)`), or the line in the traceback of the user's own exception.
"""

from __future__ import annotations

import functools
import linecache
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

from vxlab.errors import UsageError

_LONGEST = 120  # characters of the user's source line, or of an exception's text, in an error

P = ParamSpec("P")
R = TypeVar("R")


class TopologyError(UsageError):
    """A topology file is invalid; the message begins with the file, and the line if known."""


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}"


def shown_path(file: str | Path) -> str:
    """A path as a message shows it: relative where it is below the working directory."""
    absolute = os.path.abspath(file)
    try:
        below = os.path.relpath(absolute)
    except (OSError, ValueError):  # the working directory is gone
        return absolute
    return absolute if below.startswith("..") else below


def one_line(text: str, longest: int = _LONGEST) -> str:
    """A text with its line breaks and control characters replaced, cut to a length."""
    words = " ".join(text.split())
    words = "".join(letter if letter.isprintable() else "?" for letter in words)
    return words if len(words) <= longest else words[: longest - 1] + "…"


def quoted(value: object) -> str:
    """A value from a topology file as Python writes it, in one line and not too long."""
    try:
        return one_line(repr(value), 80)
    except Exception:  # the user's own __repr__ may fail
        return f"a {type(value).__name__}"


def _is_users(frame: FrameType) -> bool:
    """Whether code is the user's: not of this package or Mininet, and not generated."""
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package not in ("vxlab", "mininet") and not frame.f_code.co_filename.startswith("<")


def calling_place() -> Place | None:
    """The line outside this package that called into it; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_users(frame):
            return Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def placed(method: Callable[P, R]) -> Callable[P, R]:
    """Decorate a word of a topology file: its UsageErrors name the line that used the word."""

    @functools.wraps(method)
    def located(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except TopologyError:
            raise
        except UsageError as error:
            raise located_error(calling_place(), str(error)) from None

    return located


def located_error(place: Place | None, message: str) -> TopologyError:
    """An error at a place; without one it is the message alone."""
    return TopologyError(message if place is None else f"{place}: {message}")


def explained(error: BaseException, file: Path) -> TopologyError:
    """The user's own exception as one line: file, line number, source line, exception.

    The line is the innermost one of `file` in the traceback. A SyntaxError names its own line.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        source = one_line(error.text or "")
        where = Place(error.filename, error.lineno)
        return located_error(where, f"{_described(error)}" + (f": {source}" if source else ""))
    line = _line_in(error.__traceback__, str(file))
    if line is None:
        return TopologyError(f"{shown_path(file)}: {_described(error)}")
    source = one_line(linecache.getline(str(file), line))
    return located_error(Place(str(file), line), f"{_described(error)}; in: {source}")


def _described(error: BaseException) -> str:
    try:
        text = one_line(error.msg if isinstance(error, SyntaxError) else str(error))
    except Exception:  # the user's own __str__ may fail
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line_in(trace: TracebackType | None, file: str) -> int | None:
    lines = [
        frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == file
    ]  # outermost call first
    return lines[-1] if lines else None
