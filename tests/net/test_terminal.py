"""`vxlab` on a terminal and in pipes: Mininet's CLI, signals, captures, errors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT, VXLAB, RunningLab, processes_of, vxlab, vxlab_ok
from tests.support.poll import eventually
from tests.support.terminal import Terminal
from vxlab.system.directory import LabDirectory

NAME = "t-typed"
UP = [*VXLAB, "up", "three_vteps", "--name", NAME]
PROMPT = "mininet> "


@pytest.fixture(autouse=True)
def none_left_over() -> Iterator[None]:
    yield
    vxlab("down", NAME)


def assert_gone() -> None:
    directory = LabDirectory.named(NAME)
    assert not directory.alive()
    assert processes_of(directory.path) == []


def test_the_mininet_cli_and_other_commands_work_at_the_same_time() -> None:
    with Terminal(UP, str(CHECKOUT)) as terminal:
        terminal.expect(f"lab {NAME} is READY")
        terminal.expect(PROMPT)
        terminal.type("A ping -c1 B\n")
        assert "1 received" in terminal.expect(PROMPT)
        RunningLab(NAME).assert_row("hv1", 10, "02:00:00:00:00:0b", "192.0.2.12")
        RunningLab(NAME).ping("C", "10.0.0.1")
        terminal.type("pingall\n")
        assert "0% dropped" in terminal.expect(PROMPT)
        terminal.type("exit\n")
        assert terminal.wait() == 0
    assert_gone()
    assert not LabDirectory.named(NAME).path.exists()


def test_ctrl_c_while_a_lab_starts_leaves_nothing_behind() -> None:
    with Terminal(UP, str(CHECKOUT)) as terminal:
        terminal.expect("nodes and links")
        terminal.type("\x03")
        assert terminal.wait() == 130
    eventually(assert_gone)
    assert not LabDirectory.named(NAME).path.exists()


@pytest.mark.parametrize("when", ["nodes and links", PROMPT])
def test_closing_the_terminal_takes_the_lab_down(when: str) -> None:
    with Terminal(UP, str(CHECKOUT)) as terminal:
        terminal.expect(when)
        terminal.hang_up()
        assert terminal.wait() == 128 + signal.SIGHUP
    assert_gone()
    assert not LabDirectory.named(NAME).path.exists()


def test_sigterm_takes_the_lab_down() -> None:
    with Terminal(UP, str(CHECKOUT)) as terminal:
        terminal.expect(PROMPT)
        terminal.process.terminate()
        assert terminal.wait() == 128 + signal.SIGTERM
    assert_gone()
    assert not LabDirectory.named(NAME).path.exists()


def test_closing_the_terminal_of_a_demo_takes_its_lab_down() -> None:
    with Terminal([*VXLAB, "demo"], str(CHECKOUT)) as terminal:
        terminal.expect("Each VTEP joins")
        directory = LabDirectory.named(f"demo-{terminal.process.pid}")
        assert directory.alive()
        terminal.hang_up()
        terminal.wait()
    assert processes_of(directory.path) == []
    assert not directory.path.exists()


def test_killing_the_command_kills_its_lab() -> None:
    with Terminal(UP, str(CHECKOUT)) as terminal:
        terminal.expect(PROMPT)
        terminal.process.kill()
    eventually(assert_gone)
    said = vxlab("ps", "--json")
    assert [row["state"] for row in json.loads(said.stdout) if row["name"] == NAME] == ["dead"]
    vxlab_ok("down", NAME)


def test_a_capture_in_a_pipe_is_a_pcapng_with_interface_names(three_vteps: RunningLab) -> None:
    command = [*VXLAB, "capture", "--lab", three_vteps.name, "hv1", "A", "-w", "-"]
    capture = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT
    )
    assert capture.stderr is not None
    assert b"Ctrl-C ends" in capture.stderr.readline()
    three_vteps.ping("A", "10.0.0.2", count=3)
    capture.send_signal(signal.SIGINT)
    data, said = capture.communicate(timeout=10)
    assert capture.returncode == 0, said
    names = subprocess.run(
        ["tshark", "-r", "-", "-T", "fields", "-e", "frame.interface_name"],
        input=data,
        capture_output=True,
        check=True,
    ).stdout
    assert set(names.decode().split()) == {"A-eth0", "hv1-eth0", "hv1-trunk"}


def test_a_capture_without_a_file_prints_a_line_per_packet(three_vteps: RunningLab) -> None:
    command = [*VXLAB, "capture", "--lab", three_vteps.name, "hv1:hv1-eth0"]
    capture = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert capture.stdout is not None
    assert capture.stderr is not None
    assert "Ctrl-C ends" in capture.stderr.readline()
    three_vteps.ping("A", "10.0.0.2")
    line = ""
    while "ICMP" not in line:
        line = capture.stdout.readline()
    assert "VXLAN 192.0.2.1" in line
    assert "VNI 10" in line
    capture.send_signal(signal.SIGINT)
    capture.communicate(timeout=10)
    assert capture.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["up", "four_vteps", "-d"], 2, "topology four_vteps: unknown; must be one of many_vnis"),
        (["up", "three_vteps", "-d", "--set", "ageing=soon"], 2, "must be a whole number"),
        (["up", "three_vteps", "-d", "--set", "agening=3"], 2, "unknown option; must be"),
        (["up", "three_vteps", "-d", "--set", "group.hv9=239.1.1.1"], 2, "no such hypervisor"),
        (["up", "three_vteps", "-d", "--name", "No/Lab"], 2, "lab name"),
        (["down", "t-nowhere"], 2, "lab t-nowhere: no such lab"),
        (["exec", "--lab", "t-nowhere", "A", "--", "true"], 2, "lab t-nowhere: no such lab"),
        (["fdb", "--lab"], 2, "requires an argument"),
    ],
)
def test_a_usage_error_is_one_line_without_traceback(
    arguments: list[str], status: int, words: str
) -> None:
    done = vxlab(*arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def up_with_tool(folder: Path, tool: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run `up -d` with a shell script in place of a tool."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / tool).write_text(f"#!/bin/sh\n{script}\n")
    (tools / tool).chmod(0o755)
    return subprocess.run(
        [*UP, "-d"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        timeout=60,
    )


def assert_failed_in_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    eventually(assert_gone)


def test_a_component_that_cannot_start_is_named_with_its_log(tmp_path: Path) -> None:
    done = up_with_tool(tmp_path, "ovs-vswitchd", "echo 'no such luck' >&2; exit 1")
    assert_failed_in_one_line(done, "ovs-vswitchd: no such luck (logs: ")


def test_a_command_that_fails_in_a_node_is_described_and_not_shown(tmp_path: Path) -> None:
    real = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    refuse = "echo 'RTNETLINK answers: Operation not supported' >&2; exit 2"
    script = f'case "$*" in *"type veth"*) {refuse};; esac; exec {real} "$@"'
    done = up_with_tool(tmp_path, "ip", script)
    assert_failed_in_one_line(
        done, "cannot make the link ", ": RTNETLINK answers: Operation not supported"
    )
    assert "type veth" not in done.stderr
    assert "echo" not in done.stderr


def test_when_the_main_process_dies_the_error_has_step_cause_and_log(tmp_path: Path) -> None:
    done = up_with_tool(tmp_path, "ovsdb-tool", "kill -9 $PPID")
    log = LabDirectory.named(NAME).log("lab")
    step = f"lab {NAME} ended during the step 'start Open vSwitch'"
    assert_failed_in_one_line(done, step, "its main process was killed by SIGKILL", f"(log: {log})")


IMPATIENT = """
import sys
from vxlab.cli.main import main
from vxlab.waiting import BUDGET_S
BUDGET_S["bring-up step"] = 3.0
main()
"""


def test_a_step_that_hangs_ends_with_an_error_that_names_it(tmp_path: Path) -> None:
    """Such a step occurred when a VM had the name of another node: Mininet waited forever."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "ovs-vsctl").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    (tools / "ovs-vsctl").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT, *UP[len(VXLAB) :], "-d"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        timeout=60,
    )
    step = f"lab {NAME}: the step 'start Open vSwitch' did not end within"
    assert_failed_in_one_line(done, step, "(logs: ")
    dead = vxlab("fdb", "--lab", NAME)
    assert f"its start failed: {step}" in dead.stderr
