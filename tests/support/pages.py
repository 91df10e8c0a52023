"""The project's Markdown pages and the fenced blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lint.files import CHECKOUT, project_files

COMMAND_LANGUAGES = ("sh", "console")
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (not run|file): ((?:(?!-->).)*?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block, and the HTML comment right before it.

    not_run: why its commands are not executed by a test. file: the file that it is the text of.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str | None = None
    file: str | None = None

    @property
    def runs(self) -> bool:
        """Whether a test executes it."""
        return self.language in COMMAND_LANGUAGES and self.not_run is None


def pages() -> list[Path]:
    """All Markdown pages, relative to the checkout."""
    return list(project_files("*.md"))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = (CHECKOUT / page).read_text()
    for fence in _FENCE.finditer(text):
        mark = _MARK.search(text[: fence.start()])
        marks = {mark.group(1).replace(" ", "_"): mark.group(2)} if mark else {}
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(page.as_posix(), line, fence.group(1), fence.group(2), **marks)
