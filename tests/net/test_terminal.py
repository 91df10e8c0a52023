"""`vxlab` on a terminal and in pipes: Mininet's CLI, Ctrl-C, captures, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
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


def test_the_mininet_cli_and_the_commands_from_outside_go_together() -> None:
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


def test_ctrl_c_while_a_lab_comes_up_leaves_nothing() -> None:
    with Terminal(UP, str(CHECKOUT)) as terminal:
        terminal.expect("nodes and links")
        terminal.type("\x03")
        assert terminal.wait() == 130
    eventually(assert_gone)
    assert not LabDirectory.named(NAME).path.exists()


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


def test_a_capture_without_a_file_is_a_line_a_packet(three_vteps: RunningLab) -> None:
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
def test_a_mistake_is_one_line_and_no_traceback(
    arguments: list[str], status: int, words: str
) -> None:
    done = vxlab(*arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_that_cannot_start_is_named_with_its_log(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    broken = tools / "ovs-vswitchd"
    broken.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 1\n")
    broken.chmod(0o755)
    done = subprocess.run(
        [*UP, "-d"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        timeout=60,
    )
    assert done.returncode == 1
    assert "ovs-vswitchd: no such luck (logs: " in done.stderr
    assert "Traceback" not in done.stderr
    assert_gone()
