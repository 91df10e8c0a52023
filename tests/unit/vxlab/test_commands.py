"""The command line while no lab runs: exit statuses, the choice of a lab, completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from vxlab.cli.choose import parse_settings
from vxlab.cli.completion import SHELLS, joined
from vxlab.cli.main import vxlab
from vxlab.errors import UsageError
from vxlab.testing.forked import vxlab_forked
from vxlab.topology import registry

CHECKOUT = Path(__file__).resolve().parents[3]
NEED_NO_LAB = {
    "completion",
    "conformance",
    "demo",
    "doctor",
    "list",
    "ps",
    "up",
    "version",
}


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two labs as their directories show them; nothing runs."""
    monkeypatch.setenv("VXLAB_BASE", str(tmp_path))
    for name in ("VXLAB_LAB", "VXLAB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
        topo = registry.build("three_vteps", {})
        link = {"node1": "A", "interface1": "A-eth0", "node2": "br1", "interface2": "br1-eth2"}
        state = {
            "name": name,
            "topology": "three_vteps",
            "state": "ready",
            "created_s": 0.0,
            "nodes": list(topo.rows()),
            "links": [link | {"state": "down" if name == "two" else "up"}],
        }
        (tmp_path / name / "lab.json").write_text(json.dumps(state))
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return vxlab_forked(*arguments, timeout=30)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("up", "three_vteps", "--json"), 2, "up --json: needs -d"),
        (("down", "--all", "one"), 2, "give --all or one, not both"),
        (("nodes", "one", "--lab", "two"), 2, "one and --lab two: give one lab"),
        (("vni", "--lab", "one", "del", "--lab", "two", "hv1", "10"), 2, "give one lab"),
        (("nodes",), 2, "several labs run; choose one with --lab or VXLAB_LAB: one, two"),
        (("nodes", "three"), 2, "lab three: no such lab; labs: one, two"),
        (("capture", "--lab", "one"), 2, "give one or more NODE[:INTF], or --all"),
        (("capture", "--lab", "one", "--all", "A"), 2, "give one or more NODE[:INTF], or --all"),
        (("link", "A", "br1", "sideways"), 2, "'sideways' is not one of 'up', 'down'"),
        (("vni", "add", "hv1", "16777216"), 2, "16777216 is not in the range 0<=x<=16777215"),
        (("vni", "add", "hv1", "5", "--vlan", "4095"), 2, "4095 is not in the range 1<=x<=4094"),
        (("vni", "add", "hv1", "5", "--group", "10.0.0.1"), 2, "--group '10.0.0.1': must be "),
        (
            ("static", "add", "hv1", "10", "03:00:00:00:00:01", "hv2"),
            2,
            "MAC '03:00:00:00:00:01': must be ",
        ),
        (("flush", "--mac", "x"), 2, "--mac 'x': must be "),
        (("list", "none_such"), 2, "topology none_such: unknown"),
        (("completion", "tcsh"), 2, "'tcsh' is not one of"),
        (("link", "A"), 2, "Missing argument 'NODE'. See `vxlab link --help`."),
        (("fbd",), 2, "Did you mean 'fdb'? See `vxlab --help`."),
        (("completion",), 2, "Choose from: bash, zsh, fish"),
        (("link", "A", "br1"), 2, "Missing argument 'up|down'. Choose from: up, down"),
        (("link", "show", "--lab", "one"), 1, "lab one is dead"),
        (("demo", "-w", "/nonexistent/x"), 2, "/nonexistent/x: cannot be written: No such file"),
    ],
)
def test_a_usage_error_is_one_line_with_its_status(
    labs: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert words in line


def test_the_lab_is_chosen_by_option_argument_or_variable(
    labs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (
        ("nodes", "two"),
        ("nodes", "--lab", "two"),
        ("nodes", "two", "--lab", "two"),
    ):
        assert "lab two is dead" in run(*arguments).stderr
    monkeypatch.setenv("VXLAB_LAB", "two")
    assert "lab two is dead" in run("nodes").stderr
    assert "lab two is dead" in run("link", "show").stderr
    assert "lab one is dead" in run("nodes", "one").stderr  # the command line overrides it
    monkeypatch.setenv("VXLAB_NODES_LAB", "two")
    assert "lab one is dead" in run("nodes", "one").stderr


def test_every_command_that_needs_a_lab_has_the_option() -> None:
    without = {
        name
        for name, command in vxlab.commands.items()
        if not any("--lab" in parameter.opts for parameter in command.params)
    }
    assert without == NEED_NO_LAB


def test_links_that_are_down_show_in_nodes_and_ps(labs: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run("nodes", "two", "--json").stdout)}
    assert (rows["A"]["links_down"], rows["br1"]["links_down"]) == (["br1"], ["A"])
    assert rows["B"]["links_down"] == []
    down = {row["name"]: row["links_down"] for row in json.loads(run("ps", "--json").stdout)}
    assert down == {"one": [], "two": ["A br1"]}


def test_a_file_of_a_topology_can_be_listed(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    shutil.copy(CHECKOUT / "topologies" / "many_vteps.py", file)
    (row,) = json.loads(run("list", str(file), "--json").stdout)
    assert row["name"] == str(file)
    assert {"ageing", "vtep"} < {option["name"] for option in row["options"]}
    assert str(file) in run("list", str(file)).stdout


def test_a_default_is_shown_as_set_accepts_it() -> None:
    (strict,) = [line for line in run("list").stdout.splitlines() if "strict[" in line]
    assert " false " in strict and "False" not in strict


def test_versions_name_what_a_lab_runs_on() -> None:
    found = json.loads(run("version", "--json").stdout)
    assert list(found) == [
        *("vxlab", "Python", "Open vSwitch", "Mininet", "Ryu", "os-ken", "Scapy", "kernel")
    ]
    assert found["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["kernel"] == os.uname().release


def test_settings_are_key_and_value() -> None:
    assert parse_settings(("a=1", "b.hv1=x=y")) == {"a": "1", "b.hv1": "x=y"}
    with pytest.raises(UsageError, match=r"^--set a: must be KEY=VALUE$"):
        parse_settings(("a",))


# -- where the output goes


def spawn(command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VXLAB": f"{sys.executable} -m vxlab"}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment,
        timeout=60,
    )


@pytest.mark.parametrize("words", ["list --json", "--help", "version"])
def test_a_full_disk_is_one_line_and_status_1(words: str) -> None:
    done = spawn(f"$VXLAB {words} > /dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        "vxlab: standard output: No space left on device\n",
    )


@pytest.mark.parametrize("words", ["list --json", "--help", "up --help"])
def test_a_closed_pipe_is_not_an_error(words: str) -> None:
    done = spawn(f"$VXLAB {words} | sleep 0")
    assert (done.returncode, done.stderr) == (0, "")


def test_help_says_what_each_command_does_in_one_imperative_line() -> None:
    for name, command in vxlab.commands.items():
        first = (command.help or "").strip().splitlines()[0]
        assert first.split()[0][0].isupper(), name
        assert len(first) <= 80, name


# -- completion


def offered(*words: str) -> list[str]:
    """What Tab offers for the last word."""
    *before, last = words
    complete = ShellComplete(vxlab, {}, "vxlab", "_VXLAB_COMPLETE")
    return [str(item.value) for item in complete.get_completions(list(before), last)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("down", "t"), ["two"]),
        (("fdb", "--lab", ""), ["one", "two"]),
        (("cli", ""), ["one", "two"]),
        (("shell", "--lab", "one", "hv"), ["hv1", "hv2", "hv3"]),
        (("exec", "--lab", "one", "A"), ["A"]),
        (("fdb", "--lab", "one", "A"), []),
        (("restart", "--lab", "one", ""), ["controller", "ovs-vswitchd", "hv1", "hv2", "hv3"]),
        (("link", "--lab", "one", "A", ""), ["br1"]),
        (("link", "--lab", "one", "A", "br1", ""), ["up", "down"]),
        (("vni", "--lab", "one", "del", "hv1", ""), ["10"]),
        (("static", "add", "--lab", "one", "hv1", "10", "m", ""), ["hv2", "hv3"]),
        (("capture", "--lab", "one", "A:"), ["A:A-eth0"]),
        (("up", "two_t"), ["two_tenants"]),
        (("up", "three_vteps", "--set", "age"), ["ageing="]),
        (("up", "many_vteps", "--set", "vte"), ["vteps=", "vtep="]),
        (("up", "three_vteps", "--set", "vtep.hv1=l"), ["vtep.hv1=linux"]),
        (("up", "three_vteps", "--set", "strict="), ["strict=true", "strict=false"]),
        (("up", "three_vteps", "--set", "ttl="), []),
        (("shell", ""), []),  # several labs, none chosen
        (("up", "broken.py", "--set", "a"), []),
    ],
)
def test_tab_offers(labs: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_completion_follows_the_variable(labs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VXLAB_LAB", "two")
    assert offered("shell", "hv") == ["hv1", "hv2", "hv3"]


def test_words_that_bash_cut_are_joined() -> None:
    assert joined(["up", "--set", "vtep", "=", "li"]) == ["up", "--set", "vtep=li"]
    assert joined(["capture", "hv1", ":", ""]) == ["capture", "hv1:"]
    assert joined(["ff05", "::", "1", "x"]) == ["ff05::1", "x"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_one_that_its_shell_reads(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = run("completion", shell).stdout
    assert "_VXLAB_COMPLETE=" in script
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_a_value_after_its_key(labs: Path) -> None:
    script = f"""
        eval "$({sys.executable} -m vxlab completion bash)"
        COMP_WORDS=(vxlab up three_vteps --set vtep = li) COMP_CWORD=6
        _vxlab_completion "$0"
        echo "${{COMPREPLY[*]}}"
    """
    program = labs / "vxlab"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vxlab "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script, str(program)], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.stdout.split() == ["linux"]
