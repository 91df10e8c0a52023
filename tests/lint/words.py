"""Words and phrases that must not occur in the project's files, each with the reason.

`python -m tests.lint.words` prints a line for each occurrence; it is silent if there is none.
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
        """Whether the rule applies to this file."""
        name = path.as_posix()
        return fnmatchcase(name, self.files) and name not in (*self.except_in, *_ABOUT_THE_WORDS)


RULES: tuple[Rule, ...] = (
    Rule(
        re.compile(r"\bsleep\("),
        "tests/*.py",
        "tests wait for a condition with eventually()",
        ("tests/support/poll.py",),
    ),
    Rule(
        re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"),
        "*",
        "finish it or remove it",
        ("LICENSE",),
    ),
    Rule(re.compile(r"^(<{7} |>{7} |={7}$)"), "*", "an unresolved merge conflict"),
    Rule(re.compile(r"\b(breakpoint\(\)|pdb\.set_trace\(|import pdb\b)"), "*.py", "a debugger"),
    Rule(re.compile(r"[ \t]+$"), "*", "trailing blanks", ("LICENSE",)),
    Rule(
        re.compile(r"\b(pkill|killall)\b|\bmn\s+-c\b"),
        "*",
        "end processes by their id: other processes may have the same name",
    ),
    Rule(
        re.compile(r"--(extra-)?index-url\b|--find-links|snapshot\.debian|deb\.debian\.org"),
        "*",
        "package registries and mirrors are configured by the machine",
    ),
    Rule(
        re.compile(r"/(work|root|home/\w+)/(main|shared|\.)"),
        "*",
        "a path that exists on one machine only",
    ),
)

# Phrases that a reader has to read twice, as regular expressions, and what to write instead.
PHRASES = {
    r"\bshall\b": "'must', 'will' or 'is expected'",
    r"\blest\b": "'so that ... cannot'",
    r"\bthrice\b": "'three times'",
    r"\bwhilst\b": "'while'",
    r"\b(where|there|here)(of|from|unto|upon|withal)\b": "the noun itself",
    r"\bbears?\b": "'has', 'carries' or 'supports'",
    r"\bmends?\b|\bmended\b|\bmending\b": "'fix'",
    r"\bcures?\b|\bcured\b": "'fix'",
    r"\ballowed is\b|; allowed:": "'must be' or 'expected'",
    r"\bis wanted\b|\bare wanted\b|\bif wanted\b": "'expected' or 'requested'",
    r"\bno TOML\b|\bno JSON\b|\bno YAML\b": "'invalid TOML'",
    r"\bof (its|their|our|his) own word\b|\bown word\b": "'a local reply' or 'unsolicited'",
    r"\boperator's (word|mistake)s?\b": "'a static entry', 'a configuration error'",
    r"\bVM's word\b|\bVTEP's word\b": "'VM traffic', 'what the VTEP reports'",
    r"\btold instead of\b|\bis told of\b|\bas told\b": "'configured statically', 'reported'",
    r"\bcomes? to (exist|be)\b|\bcannot be does not\b": "'is created', 'is rejected'",
    r"\bwhat of (it|them)\b": "'which components'",
    r"\bknows? (no|nothing|neither)\b": "'does not support', 'does not depend on'",
    r"\bspeaks? (of|to|IPv|IP)\b": "'describes', 'uses'",
    r"\bfor want of\b": "'without' or 'because ... is missing'",
    r"\bsay(s)? so (it|that) (is|be)\b": "what is meant",
    r"\bno opinion\b": "'independent of'",
    r"\bwhat is in the way\b|\bsays what is in\b": "'the cause'",
    r"\bin (its|our|their) hands\b|\bin both our hands\b": "'controlled by'",
    r"\b(is|are|carried|used|needed) no more\b(?! than)": "'no longer'",
    r"\blooks? after\b": "'manages'",
    r"\bas (it|they) (is|are) to be\b|\bwhat (it|a lab) is to be\b": "'as configured'",
    r"\bby (its|their|his) hand\b": "'manually'",
    r"\bof this (kind|sort) alone\b": "'only'",
    r"\bso it is\b(?! \w+ed\b)|\bso it (shall|should) be\b": "'this is expected'",
    r"\bnor (is|are|does) it\b": "a new sentence",
    r"\bstands? (at|on|under|behind|over|for itself)\b": "'is in', 'is at'",
    r"\bin the words of\b|'s words\b": "'in the terms of'",
    r"\bas they come\b|\bas it comes\b": "'as they arrive'",
    r"\bunfinished checksums?\b": "'partial checksum'",
    r"\bno such (thing|one)\b": "what is missing",
    r"\bto be had\b": "'available'",
    r"\bhappens? upon\b|\bcomes? upon\b": "'finds'",
    r"\bhas the say\b|\bthe say of\b": "'decides'",
    r"\btakes? (it|them) apart\b": "'parses'",
    r"\bcannot be asked so\b": "'usage error'",
    r"\bway with errors\b|\bits way with\b": "'error handling'",
    r"\bplays? the scene\b|\bthe scene of\b": "'runs the demo'",
    r"\bin the operator's\b|\boperator may\b": "'configuration', 'the user'",
    r"\bdoes without\b|\bdo without\b": "'does not need'",
    r"\bit is nobody's\b|\bnobody's\b": "the owner, named",
    r"\ba lack\b|\blacks\b(?= (is|are))|\beach lack\b": "'what is missing'",
    r"\bthe scene\b|\bscene's\b": "'the demo'",
    r"\bplay(s|ed)? the (demo|scene)\b": "'runs the demo'",
    r"\b(has|have) no words for\b": "'does not support'",
    r"\bhears? of\b|\bheard of\b|\bhas heard\b": "'learns', 'unknown', 'has received'",
    r"\bheld against\b": "'compared with'",
    r"\bflat out\b": "'at full load'",
    r"\bunder way\b": "'in transit'",
    r"\bsome \d+ (s|ms|minutes)\b": "'about'",
    r"\bwhat bec(o|a)mes? of\b": "'what happens to', 'the result of'",
    r"\bcomes? and goe?s?\b": "'are added and removed', 'start and stop'",
    r"\b(some|any)body else's\b": "'of another project'",
    r"\bparts? of a CPU\b": "'a fraction of a CPU'",
    r"\b(MBs?|bytes|packets|learned) a (row|hypervisor|second)\b(?! time)": "'per'",
    r"\b(lab goes|others go|commands go|call there would go) on\b": "'continues'",
    r"\bstands? in (namespaces|a|the)\b|\bas it stands there\b": "'is in', 'as written'",
    r"\blying ready\b|\bbeds? [^.]*\blie in\b": "what exists",
    r"\bthe median told\b|\btold otherwise\b": "'the median', 'unless configured'",
    r"\bas somebody with\b": "the role, named",
    r"\bown reckoning\b": "'calculations'",
    r"\bwhat it knew\b|\bwho was named where\b": "the state, named",
}
_DEFINITION = re.compile(r"\s*(?:def|class) (\w+)")
RULES += tuple(
    Rule(re.compile(pattern, re.IGNORECASE), "*", f"write {better}", ("LICENSE",))
    for pattern, better in PHRASES.items()
)


def places(path: Path, text: str) -> Iterator[str]:
    """Each violation in a file: file, line number, reason, and the line itself."""
    rules = [rule for rule in RULES if rule.applies(path)]
    for number, line in enumerate(text.split("\n"), 1):
        # The name of a function or class, such as a test, is prose too.
        name = _DEFINITION.match(line)
        in_words = name[1].replace("_", " ").strip() if name else ""
        for rule in rules:
            if rule.pattern.search(line) or rule.pattern.search(in_words):
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
