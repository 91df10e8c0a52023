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
        terminal.expect("each VTEP joins")
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
    """A VM that has the name of another node made Mininet wait for ever."""
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


# -- the Mininet CLI of a running lab, and shells


def cli(lab: RunningLab) -> list[str]:
    return [*VXLAB, "cli", lab.name]


def piped(lab: RunningLab, *lines: str) -> subprocess.CompletedProcess[str]:
    """The CLI with its commands from a pipe."""
    return subprocess.run(
        cli(lab),
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=60,
    )


def test_the_cli_of_a_running_lab_opens_on_another_terminal(three_vteps: RunningLab) -> None:
    with Terminal(cli(three_vteps), str(CHECKOUT)) as terminal:
        before = terminal.settings()
        terminal.expect(PROMPT)
        terminal.type("A ping -c1 B\n")
        assert "1 received" in terminal.expect(PROMPT)
        terminal.type("fdb hv1\n")
        assert "02:00:00:00:00:0b" in terminal.expect(PROMPT)
        terminal.type("groups\n")
        assert "239.1.1.10" in terminal.expect(PROMPT)
        terminal.type("stats\n")
        assert "sent flood" in terminal.expect(PROMPT)
        terminal.type("exit\n")
        assert terminal.wait() == 0
        assert terminal.settings() == before
    three_vteps.ping("A", "10.0.0.2")  # the lab goes on


def test_ctrl_c_ends_a_command_of_the_cli_and_not_the_cli(three_vteps: RunningLab) -> None:
    with Terminal(cli(three_vteps), str(CHECKOUT)) as terminal:
        terminal.expect(PROMPT)
        terminal.type("A ping B\n")
        terminal.expect("icmp_seq=2")
        terminal.type("\x03")
        assert "packets transmitted" in terminal.expect(PROMPT)
        terminal.type("events\n")
        terminal.expect("listening")
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("\x03")
        assert "Interrupt" in terminal.expect(PROMPT)
        terminal.type("\x04")
        assert terminal.wait() == 0


def test_one_terminal_at_a_time_has_the_cli(three_vteps: RunningLab) -> None:
    with Terminal(cli(three_vteps), str(CHECKOUT)) as terminal:
        terminal.expect(PROMPT)
        second = piped(three_vteps, "nodes")
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == (
            "vxlab: the Mininet CLI of this lab is in use on another terminal\n"
        )
        three_vteps.ping("C", "10.0.0.2")  # other commands go on
        terminal.type("exit\n")
        assert terminal.wait() == 0
    assert piped(three_vteps).returncode == 0


def test_a_client_that_is_killed_leaves_the_cli_to_the_next(three_vteps: RunningLab) -> None:
    with Terminal(cli(three_vteps), str(CHECKOUT)) as terminal:
        terminal.expect(PROMPT)
        terminal.type("A ping B\n")
        terminal.expect("icmp_seq=1")
        terminal.process.kill()
        terminal.process.wait()

    def answers() -> None:
        done = piped(three_vteps, "A ping -c1 B")
        assert (done.returncode, "1 received" in done.stderr) == (0, True), done

    eventually(answers)


def test_a_terminated_client_restores_the_terminal(three_vteps: RunningLab) -> None:
    with Terminal(cli(three_vteps), str(CHECKOUT)) as terminal:
        before = terminal.settings()
        terminal.expect(PROMPT)
        terminal.type("A ping B\n")
        terminal.expect("icmp_seq=1")
        assert terminal.settings() != before  # Mininet reads single keys
        terminal.process.terminate()
        assert terminal.wait() == 128 + signal.SIGTERM
        assert terminal.settings() == before


def test_commands_from_a_pipe_are_all_carried_out(three_vteps: RunningLab) -> None:
    done = piped(
        three_vteps,
        "A ping -c1 B",
        "link A br1 down",
        "A ping -c1 -W1 B",
        "link A s1 up",
        "link A br1 up",
        "py 1/0",
        "fdb hv1 --json",
    )
    assert done.returncode == 0
    assert [word for word in done.stderr.split() if word.endswith("%")] == ["0%"]
    assert "Network is unreachable" in done.stderr  # while A's link is down
    assert "A and s1 are not linked; links: A br1," in done.stderr
    assert "division by zero" in done.stderr
    assert '"hypervisor": "hv1"' in done.stdout
    rows = json.loads(vxlab_ok("link", "--lab", three_vteps.name, "show", "--json"))
    assert {row["state"] for row in rows} == {"up"}


def test_down_inside_a_lab_is_refused(three_vteps: RunningLab) -> None:
    done = three_vteps.try_run("A", *VXLAB, "down", three_vteps.name)
    assert done.returncode == 2
    assert "this is a process of the lab; run it from outside" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "sh"])
def test_a_shell_names_its_node_and_passes_its_exit_status(
    three_vteps: RunningLab, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    monkeypatch.setenv("SHELL", path)
    command = [*VXLAB, "shell", "--lab", three_vteps.name, "hv1"]
    with Terminal(command, str(CHECKOUT)) as terminal:
        before = terminal.settings()
        terminal.expect(f"hv1@{three_vteps.name}")
        terminal.type("ip -br addr show dev hv1-eth0\n")
        terminal.expect("192.0.2.11")
        terminal.type("sh -c 'echo be\"\"gun; exec sleep 60'\n")
        terminal.expect("begun")
        terminal.type("\x03")
        terminal.expect(f"hv1@{three_vteps.name}")
        terminal.type("exit 7\n")
        assert terminal.wait() == 7
        assert terminal.settings() == before


def test_up_prints_one_json_document(tmp_path: Path) -> None:
    done = vxlab(*UP[len(VXLAB) :], "-d", "--json", "--set", "ageing=9")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["name"], document["state"]) == (NAME, "ready")
    assert document["options"] == {"ageing": "9"}
    assert 0 < document["seconds"] < 60
    assert [row["name"] for row in document["nodes"]][:3] == ["A", "B", "C"]
    listing = RunningLab(NAME).handle.nodes()
    assert document["nodes"] == listing


def test_a_lab_with_its_cli_on_a_terminal_refuses_another(three_vteps: RunningLab) -> None:
    with Terminal(UP, str(CHECKOUT)) as terminal:
        terminal.expect(PROMPT)
        terminal.type("fdb\n")
        assert "hypervisor" in terminal.expect(PROMPT)
        assert "in use on another terminal" in piped(RunningLab(NAME)).stderr
        terminal.type("exit\n")
        assert terminal.wait() == 0
