"""The command line with closed standard streams, and with Ctrl-C before it has begun."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vxlab.cli import run as command

COMMAND = f"{sys.executable} -m vxlab"


@pytest.mark.parametrize(
    "arguments", ["version >&-", "--help >&-", "version <&- >&-", "version 2>&- >&-"]
)
def test_a_closed_stream_is_no_error(arguments: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{COMMAND} {arguments}"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


EXPECTED = "vxlab: No such option '--nonesuch'. See `vxlab version --help`.\n"


def test_a_line_about_an_error_needs_no_stdout() -> None:
    command = f"{COMMAND} version --nonesuch >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, EXPECTED)


def test_ctrl_c_while_modules_are_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "vxlab.cli.main":
                raise KeyboardInterrupt

    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "vxlab.cli.main", raising=False)
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 130
