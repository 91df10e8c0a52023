"""Run the matrix and write its page: `make interop`, or `python -m tests.interop FILE.md`.

Exit status 1 where a pair fails a check; the page then says what was seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.interop.checks import CHECKS, NARROW, wrong
from tests.interop.pairs import Pair, kinds_lab
from vxlab.lab.bringup import choose_datapath
from vxlab.topology.families import FAMILIES

HEAD = """# Interoperation of VTEP kinds

Made by `make interop` from a run on real labs, with Open vSwitch's {datapath} datapath. Two
hypervisors of each kind stand in one lab ([every_kind.py](../../tests/interop/every_kind.py)), over an
underlay of either address family. A VM behind a VTEP of one kind asks, one behind another VTEP
answers; "yes" is what was seen of that ordered pair. `make net` runs the same checks.

A VNI that Open vSwitch carries floods by head-end replication, since Open vSwitch has no multicast
for VXLAN: hence no multicast rows with it. The others join their groups by IGMP or MLD, and the lab
is READY only when the underlay's switches, which snoop both, know every member.

| check | what is seen |
| --- | --- |
"""

DATAPATHS = {"user": "userspace", "kernel": "kernel"}
FAMILY_TITLES = {"ipv4": "IPv4", "ipv6": "IPv6"}

Cells = dict[tuple[str, str, str], dict[str, str]]  # (asks, answers, flooding) -> check -> outcome


def run(family: str) -> Cells:
    """All checks of all pairs over one family."""
    cells: Cells = {}
    for narrow in (False, True):
        with kinds_lab(family, narrow) as kinds:
            for name in CHECKS:
                if (name in NARROW) != narrow:
                    continue
                outcome = CHECKS[name](kinds)
                print(f"{family}: {name}: {wrong(outcome) or 'all pairs'}", file=sys.stderr)
                for pair, said in outcome.items():
                    cells.setdefault(_key(pair), {})[name] = said
    return cells


def _key(pair: Pair) -> tuple[str, str, str]:
    return pair.asks.kind, pair.answers.kind, pair.flooding


def page(found: dict[str, Cells]) -> Iterator[str]:
    """The page's lines."""
    yield HEAD.format(datapath=DATAPATHS[choose_datapath()]).rstrip("\n")
    for name, check in CHECKS.items():
        yield f"| {name} | {_sentence(check.__doc__)} |"
    for family, cells in found.items():
        yield f"\n## Over {FAMILY_TITLES[family]}\n"
        yield f"| asks | answers | floods by | {' | '.join(CHECKS)} |"
        yield f"| --- | --- | --- | {' | '.join('---' for _ in CHECKS)} |"
        for key, row in cells.items():
            yield f"| {' | '.join([*key, *(row[name] for name in CHECKS)])} |"


def _sentence(docstring: str | None) -> str:
    return (docstring or "").partition("\n")[0]


def main() -> int:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, metavar="FILE.md")
    path = parser.parse_args().page
    found = {family: run(family) for family in FAMILIES}
    path.write_text("\n".join(page(found)) + "\n")
    outcomes = [said for cells in found.values() for row in cells.values() for said in row.values()]
    print(f"{path}: {outcomes.count('yes')} of {len(outcomes)} as they should be", file=sys.stderr)
    return 0 if outcomes.count("yes") == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
