"""Limits for the length of functions and files.

`python -m tests.lint.sizes` prints one summary line, and a line for each limit that is exceeded.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lint.files import CHECKOUT, project_files

FUNCTION_MEDIAN, FUNCTION_P90, FUNCTION_MAX = 12, 30, 60
FILE_MAX = 400


class Function(NamedTuple):
    """A function's location and its length in lines, without decorators."""

    place: str
    lines: int


def functions(path: Path, source: str) -> Iterator[Function]:
    """All functions of a file, including methods and nested ones."""
    for node in ast.walk(ast.parse(source, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(f"{path}:{node.lineno} {node.name}", lines)


def complaints(files: dict[Path, str]) -> Iterator[str]:
    """A line for each exceeded limit: location, value and limit."""
    for path, source in files.items():
        lines = source.count("\n")
        if lines > FILE_MAX:
            yield f"{path}: {lines} lines; must be at most {FILE_MAX}"
    found = [function for path, source in files.items() for function in functions(path, source)]
    for function in found:
        if function.lines > FUNCTION_MAX:
            yield f"{function.place}: {function.lines} lines; must be at most {FUNCTION_MAX}"
    median, p90, _ = distribution(found)
    if median > FUNCTION_MEDIAN:
        yield f"functions: median {median} lines; must be at most {FUNCTION_MEDIAN}"
    if p90 > FUNCTION_P90:
        yield f"functions: 90th percentile {p90} lines; must be at most {FUNCTION_P90}"


def distribution(found: list[Function]) -> tuple[int, int, int]:
    """Median, 90th percentile and maximum of functions' lengths."""
    lengths = sorted(function.lines for function in found) or [0]
    return int(statistics.median(lengths)), lengths[int(len(lengths) * 0.9)], lengths[-1]


def main() -> int:
    """Check all Python files of the project."""
    files = {path: (CHECKOUT / path).read_text() for path in project_files("*.py")}
    wrong = list(complaints(files))
    found = [function for path, source in files.items() for function in functions(path, source)]
    median, p90, longest = distribution(found)
    print(
        f"sizes: {len(files)} files, {len(found)} functions, "
        f"median {median}, p90 {p90}, max {longest} lines"
    )
    print("\n".join(wrong), end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
