"""Tables: nothing is cut, neither in a pipe nor on a narrow terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.terminal import Terminal
from vxlab import console

CHECKOUT = Path(__file__).resolve().parents[3]

COLUMNS = ["hypervisor", "vni", "mac", "remote", "port", "kind", "age_s", "why"]
WHY = "a reason that is long enough to be wrapped between words on any terminal"
ROW = [
    "hv1",
    16777215,
    "02:00:00:00:00:0a",
    "2001:db8:a:b:c:d:e:f",
    None,
    "learned",
    1.5,
    WHY,
]
PRINTS = f"from vxlab import console; console.table({COLUMNS!r}, [{ROW!r}])"


def test_a_pipe_gets_whole_cells_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(COLUMNS, [ROW])
    _, line = capsys.readouterr().out.splitlines()
    assert all(str(cell) in line for cell in ROW if cell is not None)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_gets_whole_words_whatever_its_width(width: int) -> None:
    command = f'stty cols {width}; exec {sys.executable} -c "$PRINTS"'
    with Terminal(["env", f"PRINTS={PRINTS}", "sh", "-c", command], str(CHECKOUT)) as terminal:
        text = terminal.everything()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "…" not in shown
    for cell in (ROW[2], ROW[3], *WHY.split()):
        assert str(cell) in shown
