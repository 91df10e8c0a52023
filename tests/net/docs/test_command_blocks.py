"""Every command block of README and docs works as written.

The blocks of a page are executed in order, in an empty directory. `sh` blocks must succeed. In
`console` blocks each line after `$ ` is a command, and the lines below must appear in its output in
that order; decimal fractions and runs of blanks may differ. A block that cannot be executed has a
comment `<!-- not run: REASON -->` before it; `<!-- file: NAME -->` makes a block a file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import Block, blocks, pages

RUNS_WITHIN_S = 120
EXECUTABLE = [page for page in pages() if any(block.runs for block in blocks(page))]


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory with a short name (sockets have paths of at most 107 bytes)."""
    directory = Path(tempfile.mkdtemp(prefix="vx-", dir="/tmp"))
    yield directory
    run(directory, "vxlab down --all")
    shutil.rmtree(directory)


def run(place: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a reader would who has vxlab on PATH."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "VXLAB_BASE": str(place / ".labs"),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUNS_WITHIN_S,
    )


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Pairs of a command and the lines that its output must have."""
    if block.language == "sh":
        yield block.text, []
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, [line for line in output.splitlines() if line.strip()]


def normal(text: str) -> str:
    """The line with parts that differ between runs removed."""
    fractions = re.sub(r"(?<![\d.:])\d+\.\d+(?![\d.])", "#", text)
    return re.sub(r"\s+", " ", fractions).strip()


def missing_line(expected: list[str], output: str) -> str | None:
    """The first expected line that does not follow the ones before it in the output."""
    lines = iter(normal(line) for line in output.splitlines())
    for line in expected:
        if not any(normal(line) in seen for seen in lines):
            return line
    return None


@pytest.mark.parametrize("page", EXECUTABLE, ids=lambda page: page.as_posix())
def test_the_commands_of_a_page_work(page: Path, place: Path) -> None:
    for block in blocks(page):
        if block.file is not None:
            (place / block.file).write_text(block.text)
        if not block.runs:
            continue
        for command, expected in commands(block):
            done = run(place, command)
            where = f"{block.page}:{block.line}: {command}\n{done.stdout}"
            assert done.returncode == 0, f"exit status {done.returncode} of {where}"
            lacking = missing_line(expected, done.stdout)
            assert lacking is None, f"missing in the output: {lacking!r}: {where}"


def test_a_line_that_is_not_printed_is_noticed() -> None:
    assert missing_line(["a 1.25", "b"], "a  1.5\nx\nb\n") is None
    assert missing_line(["b", "a 1.25"], "a 1.5\nb\n") == "a 1.25"
    assert missing_line(["10.0.0.2"], "10.0.0.3\n") == "10.0.0.2"
