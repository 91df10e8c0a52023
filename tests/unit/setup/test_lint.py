"""The project's own lint: what it reports and what it permits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint.sizes import FILE_MAX, FUNCTION_MAX, complaints
from tests.lint.words import places


def function(lines: int) -> str:
    """A function of that many lines."""
    return "def long():\n" + "    pass\n" * (lines - 1)


def test_the_limit_for_the_length_of_functions() -> None:
    short = "def short():\n    pass\n" * 20
    path = Path("some.py")
    assert list(complaints({path: short + function(FUNCTION_MAX)})) == []
    (complaint,) = complaints({path: short + function(FUNCTION_MAX + 1)})
    assert complaint.startswith("some.py:41 long: 61 lines")


def test_the_limit_for_the_length_of_files() -> None:
    path = Path("some.py")
    assert list(complaints({path: "x = 1\n" * FILE_MAX})) == []
    assert list(complaints({path: "x = 1\n" * (FILE_MAX + 1)})) != []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("tests/net/test_some.py", "time.sleep(1)"),
        ("vtep/core.py", "x = 1  # TODO: later"),
        ("README.md", "<<<<<<< HEAD"),
        ("vtep/core.py", "breakpoint()"),
        ("docs/some.md", "blanks here  "),
        ("topologies/some.py", 'run("pkill", "ping")'),
        ("docs/some.md", "The lab must be up, lest the command fail."),
        ("tests/unit/test_some.py", "def test_a_vtep_comes_and_goes() -> None:"),
    ],
)
def test_forbidden_words_are_found(file: str, line: str) -> None:
    (place,) = places(Path(file), f"fine\n{line}\n")
    assert place.startswith(f"{file}:2: ")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("tests/support/poll.py", "time.sleep(0.01)"),
        ("vtep/agent.py", "time.sleep(0.01)"),
        ("README.md", "=" * 8),
        ("README.md", "a method, a hacksaw"),
        ("vtep/agent.py", "def __init__(self) -> None:"),
    ],
)
def test_permitted_words_are_not_reported(file: str, line: str) -> None:
    assert list(places(Path(file), f"{line}\n")) == []
