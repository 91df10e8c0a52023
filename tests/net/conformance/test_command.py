"""The command and the pytest plugin, used with a VTEP of another project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.labs import CHECKOUT
from vxlab.cli.judge import conformance
from vxlab.errors import LabError, UsageError

OURS = f"{sys.executable} -m vtep"
NO_MULTICAST = f"{sys.executable} -m tests.support.deaf_vtep"
BROKEN = f"{sys.executable} -m tests.support.broken_vtep --fault flag_unchecked"


def judge(*arguments: str) -> Result:
    return CliRunner().invoke(conformance, arguments)


def test_a_vtep_that_conforms_ends_with_0() -> None:
    done = judge("--only", "N19", "--only", "N14", "--json")
    assert done.exit_code == 0, done.output
    (report,) = json.loads(done.stdout)
    assert (report["vtep"], report["conforms"]) == ("python", True)
    assert [row["id"] for row in report["rows"]] == ["N14", "N14.ipv6", "N19"]


def test_one_that_deviates_ends_with_1_and_shows_the_packet() -> None:
    done = judge("--vtep-cmd", BROKEN, "--only", "N19")
    assert done.exit_code == 1
    assert "N19 deviates: flags 0x00: the I flag is 0, but the frame was delivered" in done.output
    assert "VXLAN: header 0000000000000a00, VNI 10" in done.output


def test_the_page_has_the_deviation(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = judge("--vtep-cmd", BROKEN, "--only", "N19", "--only", "N20", "--markdown", str(page))
    assert done.exit_code == 1
    text = page.read_text()
    assert "| N20 | 5 | MUST | The other seven flag bits are sent as 0 | conforms |" in text
    assert "N19: flags 0x00: the I flag is 0, but the frame was delivered" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--vtep", "nonesuch"),
            "VTEP kind 'nonesuch' is unknown; it must be one of: python, linux, ovs",
        ),
        (("--only", "N99"), "row N99 does not exist; rows: N1 "),
        (("--vtep-cmd", "'"), "cannot be parsed"),
        (("--no-trunk",), "--no-multicast and --no-trunk need --vtep-cmd"),
        (("-w", "/nonexistent/x"), "/nonexistent/x: cannot be written: No such file"),
        (("--markdown", "/nonexistent/x"), "/nonexistent/x: cannot be written: No such file"),
    ],
)
def test_a_mistake_is_named(arguments: tuple[str, ...], words: str) -> None:
    done = judge(*arguments)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/bin/false", "/bin/false: the VTEP ended with status 1: no output"),
        (f"{sys.executable} -m vtep.nonesuch", "No module named vtep.nonesuch"),
    ],
)
def test_a_vtep_that_does_not_come_up_is_quoted(command: str, words: str) -> None:
    done = judge("--vtep-cmd", command, "--only", "N1")
    assert isinstance(done.exception, LabError)
    assert words in str(done.exception)


def test_the_output_of_a_vtep_that_does_not_start_is_shown() -> None:
    code = "print('first'); print('second'); raise SystemExit('third')"
    done = judge("--vtep-cmd", f'{sys.executable} -c "{code}"', "--only", "N1")
    assert "the VTEP ended with status 1: third" in str(done.exception)
    assert done.output == "vxlab: the VTEP printed:\n  first\n  second\n  third\n"


def test_reports_call_a_vtep_by_its_command() -> None:
    done = judge("--vtep-cmd", OURS, "--only", "N20", "--json")
    (report,) = json.loads(done.stdout)
    assert report["vtep"] == OURS
    assert f"{OURS}: 1 conforms" in judge("--vtep-cmd", OURS, "--only", "N20").output


def test_a_vtep_without_multicast_gets_a_hint_soon() -> None:
    began = time.monotonic()
    done = judge("--vtep-cmd", NO_MULTICAST, "--only", "N1")
    assert time.monotonic() - began < 15
    assert isinstance(done.exception, LabError)
    message = str(done.exception)
    assert "no frame came into the tunnel within 5 s" in message
    assert "the VTEP's last line of output: " in message
    assert message.endswith(
        "try --no-multicast if it does not support multicast groups, "
        "or --no-trunk if it needs an untagged port for each segment"
    )


def test_the_system_directories_need_not_be_in_the_path(tmp_path: Path) -> None:
    """An ordinary user's PATH on Debian has no /usr/sbin, where ethtool is."""
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "vxlab", "conformance", "--only", "N19"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, env=environment)
    assert done.returncode == 0, done.stderr


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as another project does, in its own folder."""
    known = {point.value for point in entry_points(group="pytest11")}
    plugin = "vxlab.conformance.plugin"
    load = [] if plugin in known else ["-p", plugin]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *load, *arguments, str(folder)],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip


def test_the_plugin_has_a_test_for_each_row(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, "--vtep-cmd", OURS, "--vtep-only", "N1", "--vtep-only", "N31")
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_shows_what_deviates(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, "--vtep-cmd", BROKEN, "-k", "N19 or N20")
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "the I flag is 0, but the frame was delivered" in done.stdout
    assert "Traceback" not in done.stdout


def test_without_its_options_the_plugin_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n    assert 'scapy' not in sys.modules\n"
    )
    assert "1 passed" in pytest_run(tmp_path).stdout
