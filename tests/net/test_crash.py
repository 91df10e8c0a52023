"""kill -9 of any component: the others continue, and the next command names the failed one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import (
    RunningLab,
    lab,
    namespaces_in_use,
    namespaces_of,
    processes_of,
    vxlab,
    vxlab_ok,
)
from tests.support.poll import eventually
from vxlab.control import rpc


def host_pid(lab: RunningLab, pattern: str) -> int:
    """The process of a lab whose command line matches a pattern; its id in our PID namespace."""
    for name in processes_of(lab.handle.directory.path):
        words = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if pattern in words:
            return int(name)
    raise AssertionError(f"no process of the lab runs {pattern}")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def agent_pid(lab: RunningLab, hypervisor: str) -> int:
    """The id of a forked agent in our PID namespace, found by its id inside the lab's."""
    inner = rpc.ask(lab.handle.directory.agent_socket(hypervisor), "ready")["pid"]
    for name in processes_of(lab.handle.directory.path):
        status = Path(f"/proc/{name}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if numbers[-1] == str(inner) and len(numbers) > 2:
            return int(name)
    raise AssertionError(f"no process of the lab has pid {inner} inside")


@pytest.fixture
def victim() -> Iterator[RunningLab]:
    with lab("three_vteps", "t-victim") as running:
        yield running


def test_a_dead_agent_is_reported_and_can_be_restarted(victim: RunningLab) -> None:
    victim.ping("A", "10.0.0.2")
    kill(agent_pid(victim, "hv2"))
    eventually(
        lambda: assert_says(vxlab("fdb", "--lab", victim.name), "hv2 of lab t-victim is dead")
    )
    victim.ping("A", "10.0.0.3")  # the others continue
    vxlab_ok("restart", "--lab", victim.name, "hv2")
    victim.ping("A", "10.0.0.2")
    assert vxlab("fdb", "--lab", victim.name).returncode == 0


@pytest.mark.parametrize("kind", ["linux", "ovs"])
def test_a_dead_vtep_of_another_kind_can_be_restarted(kind: str) -> None:
    with lab("three_vteps", "t-other", f"vtep.hv2={kind}", "flooding=head-end") as running:
        running.ping("A", "10.0.0.2")
        kill(host_pid(running, f"vxlab.vteps.{kind}"))
        eventually(
            lambda: assert_says(vxlab("fdb", "--lab", running.name), "hv2 of lab t-other is dead")
        )
        vxlab_ok("restart", "--lab", running.name, "hv2")
        running.run("A", "ip", "neigh", "flush", "all")
        running.ping("A", "10.0.0.2")
        running.assert_row("hv2", 10, "02:00:00:00:00:0a", "192.0.2.11")


def test_a_dead_vswitchd_is_reported_and_can_be_restarted(victim: RunningLab) -> None:
    kill(host_pid(victim, "ovs-vswitchd unix:"))
    eventually(
        lambda: assert_says(vxlab("nodes", victim.name), "ovs-vswitchd of lab t-victim is dead")
    )
    vxlab_ok("restart", "--lab", victim.name, "ovs-vswitchd")
    eventually(lambda: victim.ping("A", "10.0.0.2"), within=30)


def test_vswitchd_restarts_at_the_first_attempt_ten_times_in_a_row(victim: RunningLab) -> None:
    for number in range(10):
        if number % 2:
            kill(host_pid(victim, "ovs-vswitchd unix:"))
        vxlab_ok("restart", "--lab", victim.name, "ovs-vswitchd")
    eventually(lambda: victim.ping("A", "10.0.0.2"), within=30)


def test_the_lab_ends_with_its_first_process(victim: RunningLab) -> None:
    directory = victim.handle.directory.path
    init = victim.handle.init
    kill(init)
    eventually(lambda: assert_nothing_runs(directory))
    said = vxlab("fdb", "--lab", victim.name)
    assert said.returncode == 1
    assert "lab t-victim is dead: its first process was killed" in said.stderr
    assert f"(log: {directory / 'log' / 'lab.log'})" in said.stderr
    vxlab_ok("down", victim.name)
    assert not directory.exists()
    vxlab_ok("up", "three_vteps", "--name", victim.name, "-d")
    RunningLab(victim.name).ping("A", "10.0.0.2")


def test_down_leaves_nothing_behind() -> None:
    interfaces = Path("/proc/net/dev").read_text().count(":")
    with lab("three_vteps", "t-gone") as running:
        directory = running.handle.directory.path
        theirs = namespaces_of(directory)
        assert len(theirs) == 1 + 3 + 3  # the switches', and each VM's and hypervisor's
    assert_nothing_runs(directory)
    assert not directory.exists()
    assert not theirs & namespaces_in_use()
    assert Path("/proc/net/dev").read_text().count(":") == interfaces


def assert_says(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1, done
    assert words in done.stderr, done


def assert_nothing_runs(directory: Path) -> None:
    assert processes_of(directory) == []
