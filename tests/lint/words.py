"""Words that must not stand in the project's files, each with the reason.

`python -m tests.lint.words`: a line for each place; silent and 0 if there is none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from tests.lint.files import CHECKOUT, project_files

_ABOUT_THE_WORDS = ("tests/lint/words.py", "tests/unit/setup/test_lint.py")


class Rule(NamedTuple):
    """A pattern that no line may match, where it applies and why."""

    pattern: re.Pattern[str]
    files: str
    reason: str
    except_in: tuple[str, ...] = ()

    def applies(self, path: Path) -> bool:
        """Whether the rule is about this file."""
        name = path.as_posix()
        return fnmatchcase(name, self.files) and name not in (*self.except_in, *_ABOUT_THE_WORDS)


RULES = (
    Rule(
        re.compile(r"\bsleep\("),
        "tests/*.py",
        "tests poll with eventually(), they do not wait blindly",
        ("tests/support/poll.py",),
    ),
    Rule(
        re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"),
        "*",
        "what is unfinished is finished or left out",
        ("LICENSE",),
    ),
    Rule(re.compile(r"^(<{7} |>{7} |={7}$)"), "*", "an unresolved merge"),
    Rule(re.compile(r"\b(breakpoint\(\)|pdb\.set_trace\(|import pdb\b)"), "*.py", "a debugger"),
    Rule(re.compile(r"[ \t]+$"), "*", "blanks at the end of the line", ("LICENSE",)),
    Rule(
        re.compile(r"\b(pkill|killall)\b|\bmn\s+-c\b"),
        "*",
        "processes are ended by their id, never by a name that a neighbour may bear, too",
    ),
    Rule(
        re.compile(r"--(extra-)?index-url\b|--find-links|snapshot\.debian|deb\.debian\.org"),
        "*",
        "package registries and mirrors are the machine's own setting",
    ),
    Rule(re.compile(r"/(work|root|home/\w+)/(main|shared|\.)"), "*", "a path of one machine"),
)


def places(path: Path, text: str) -> Iterator[str]:
    """Where a file breaks a rule: file, line, reason, and the line itself."""
    rules = [rule for rule in RULES if rule.applies(path)]
    for number, line in enumerate(text.split("\n"), 1):
        for rule in rules:
            if rule.pattern.search(line):
                yield f"{path}:{number}: {rule.reason}: {line.strip()[:80]}"


def main() -> int:
    """Check all text files of the project."""
    wrong: list[str] = []
    for path in project_files():
        try:
            text = (CHECKOUT / path).read_text()
        except UnicodeDecodeError:
            continue
        wrong += places(path, text)
    print("\n".join(wrong), end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
