"""The Mininet CLI of a running lab from another terminal, shells in nodes, and `up --json`."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT, VXLAB, RunningLab, vxlab, vxlab_ok
from tests.support.poll import eventually
from tests.support.terminal import Terminal

NAME = "t-typed-cli"
UP = [*VXLAB, "up", "three_vteps", "--name", NAME]
PROMPT = "mininet> "


@pytest.fixture(autouse=True)
def none_left_over() -> Iterator[None]:
    yield
    vxlab("down", NAME)


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
    three_vteps.ping("A", "10.0.0.2")  # the lab still runs


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
        three_vteps.ping("C", "10.0.0.2")  # other commands still work
        terminal.type("exit\n")
        assert terminal.wait() == 0
    assert piped(three_vteps).returncode == 0


def test_another_client_can_use_the_cli_after_one_was_killed(three_vteps: RunningLab) -> None:
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


def test_all_commands_from_a_pipe_are_executed(three_vteps: RunningLab) -> None:
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
