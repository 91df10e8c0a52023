"""The pytest plugin in another project's repository: the guide's example, failures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import vxlab_ok
from vxlab.lab.handle import labs

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "testing.md"
TOPOLOGY, EXAMPLE, RECORDING = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
HEAD = """
import pytest
from vxlab.testing import *
pytestmark = pytest.mark.vxlab("mine.py", ageing=30)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """A directory with the guide's topology, and packages named like ours."""
    (tmp_path / "mine.py").write_text(TOPOLOGY)
    for package in ("controller", "topologies"):
        (tmp_path / package).mkdir()
    (tmp_path / "controller" / "__init__.py").write_text("raise ImportError('not vxlab')\n")
    yield tmp_path
    for left in labs():  # of a failed test
        left.end()


def run_pytest(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        cwd=repository,
        timeout=120,
    )


def run_tests(repository: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (repository / "test_it.py").write_text(HEAD + tests)
    return run_pytest(repository, *arguments)


def test_the_guides_example_passes_in_two_runs_at_once(repository: Path) -> None:
    (repository / "test_mine.py").write_text(EXAMPLE + "\n\n" + RECORDING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    runs = [
        subprocess.Popen(
            command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    for each in runs:
        output, _ = each.communicate(timeout=120)
        assert "4 passed" in output, output
    assert labs() == []


FAILING = """
def test_nothing_was_sent(lab):
    assert_learned(lab, "hv1", "db", within=0.2)

def test_it_is_flooded_at_first(lab):
    assert_unicast(lab, "web", "db", within=0.2)

def test_the_other_hypervisor_gets_it(lab):
    assert_flooded_only_to(lab, "web", [], within=0.2)

def test_it_is_known_by_now(lab):
    lab.ping("web", "db")
    assert_not_learned(lab, "hv2", "web", within=0.2)

def test_they_meet(lab):
    assert_isolated(lab, "web", "db")
"""


def test_a_failed_assertion_shows_table_packets_and_events(repository: Path) -> None:
    done = run_tests(repository, FAILING, "--vxlab-artefacts", "kept")
    assert "5 failed" in done.stdout, done.stdout + done.stderr
    sections = dict(
        re.findall(r"^_+ (test_\w+) _+$(.*?)(?=^_+ test_|^=+ )", done.stdout, re.M | re.S)
    )
    for text in sections.values():
        assert "tables (vxlab fdb):" in text
        assert "packets on the underlay" in text
        assert "hv1 joined vni 10" in text
    expected = {
        "test_nothing_was_sent": "hv1 has not learned db behind hv2 (192.0.2.12)",
        "test_it_is_flooded_at_first": "sent to 239.1.1.10, not to 192.0.2.12 alone",
        "test_the_other_hypervisor_gets_it": "copies by hypervisor: hv2 1; expected: none",
        "test_it_is_known_by_now": "hv2 has learned web",
        "test_they_meet": "db received a frame of web to ff:ff:ff:ff:ff:ff",
    }
    for name, words in expected.items():
        assert words in sections[name], sections[name]
    flooded = sections["test_it_is_flooded_at_first"]
    assert "VXLAN 192.0.2.11 -> 239.1.1.10 VNI 10" in flooded
    assert "hv1 flooded vni 10 vlan 1 -> 239.1.1.10 (unknown_unicast)" in flooded
    assert re.search(r"hv2 +10 +\S+ +192.0.2.11 +- +learned", flooded)
    assert_artefacts(repository / "kept" / "test_it.py_test_they_meet")


def assert_artefacts(folder: Path) -> None:
    (lab,) = folder.iterdir()
    names = {path.name for path in lab.iterdir()}
    assert {"controller.log", "hv1.log", "s1-flows.txt", "underlay.pcapng", "fdb.json"} <= names
    assert "actions=" in (lab / "s1-flows.txt").read_text()
    assert json.loads((lab / "fdb.json").read_text())
    assert (lab / "underlay.pcapng").stat().st_size > 1000


def test_labs_are_shared_by_equal_markers_and_only_by_those(repository: Path) -> None:
    tests = """
seen = []

@pytest.mark.parametrize("number", [1, 2])
def test_shared(lab, number):
    seen.append(lab.name)

@pytest.mark.vxlab("mine.py", "ageing.hv1=7", name="other", ageing=30)
def test_of_its_own(lab):
    assert lab.name.startswith("other-")
    assert lab.handle.state["options"] == {"ageing.hv1": "7", "ageing": "30"}

def test_one_lab_for_both():
    assert len(set(seen)) == 1 and seen[0].startswith("mine-")
"""
    done = run_tests(repository, tests)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert labs() == []


def test_interfaces_of_nodes_with_long_names_are_found(repository: Path) -> None:
    topology = TOPOLOGY.replace('"hv2"', '"hypervisor-number-2"').replace(
        '"db"', '"a-large-database"'
    )
    (repository / "mine.py").write_text(topology)
    tests = """
def test_names(lab):
    assert_flooded_only_to(lab, "a-large-database", ["hv1"])
    assert_unicast(lab, "web", "a-large-database")
"""
    done = run_tests(repository, tests)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_keep_leaves_the_lab_up(repository: Path) -> None:
    done = run_tests(repository, "def test_up(lab): pass", "--vxlab-keep")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    (kept,) = labs()
    assert f"lab {kept.name} is still up; `vxlab down {kept.name}` ends it" in done.stdout
    vxlab_ok("down", kept.name)


def test_the_cli_of_the_failed_tests_lab_opens(repository: Path) -> None:
    tests = """
def test_wrong(lab):
    from vxlab.testing import commands
    commands.VXLAB[:] = ["echo", "opened:"]
    assert False
"""
    done = run_tests(repository, tests, "--vxlab-cli-on-error", "--vxlab-keep")
    (kept,) = labs()
    assert f"opened: cli {kept.name}" in done.stdout, done.stdout + done.stderr
    vxlab_ok("down", kept.name)


def test_a_lab_that_does_not_start_is_reported_with_its_logs(repository: Path) -> None:
    broken = repository / "bin"
    broken.mkdir()
    (broken / "ovs-vswitchd").write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 1\n")
    (broken / "ovs-vswitchd").chmod(0o755)
    tests = f"""
import os
os.environ["PATH"] = {str(broken)!r} + ":" + os.environ["PATH"]

def test_up(lab): pass
"""
    done = run_tests(repository, tests)
    assert "1 error" in done.stdout
    assert "ovs-vswitchd: no such luck" in done.stdout
    (folder,) = (repository / "vxlab-artefacts").iterdir()
    assert (folder / "failed-start" / "lab.log").exists()
    assert labs() == []


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ("pytestmark = []\ndef test_up(lab): pass", "needs a marker that names the topology"),
        ("pytestmark = pytest.mark.vxlab()\ndef test_up(lab): pass", "the topology is missing"),
        ("pytestmark = pytest.mark.vxlab('no.py')\ndef test_up(lab): pass", "no such file"),
        ("pytestmark = pytest.mark.vxlab('mine.py', x=1)\ndef test_up(lab): pass", "x"),
    ],
)
def test_an_error_names_its_cause(repository: Path, tests: str, words: str) -> None:
    done = run_tests(repository, tests)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr


def test_an_existing_fixture_of_that_name_is_used_and_nothing_is_imported(repository: Path) -> None:
    (repository / "test_own.py").write_text(
        "import sys, pytest\n"
        "@pytest.fixture\ndef lab(): return 7\n"
        "def test_own(lab): assert lab == 7 and not {'scapy', 'mininet'} & set(sys.modules)\n"
    )
    assert "1 passed" in run_pytest(repository).stdout
