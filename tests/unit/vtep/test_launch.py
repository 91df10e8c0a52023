"""Starting an agent: each failure has its exit status and one line with the cause."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from vtep import forkserver
from vtep.launch import launch

GOOD = """
name = "hv1"
[underlay]
interface = "nosuch0"
local = "192.0.2.11"
[[port]]
interface = "nosuch1"
[[segment]]
vni = 10
group = "239.1.1.10"
"""


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_missing_file_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(str(tmp_path / "none.toml")) == 2
    assert last_line(capsys).endswith("none.toml: No such file or directory")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe", "invalid TOML: byte 0 is not UTF-8"),
        (b"name = ", "invalid TOML: "),
        (GOOD.replace("vni = 10", "vni = -1").encode(), "segment.vni = -1: must be"),
        (GOOD.replace("hv1", "hv1", 1).encode() + b"[datapath]\n", "datapath = {}: must be"),
    ],
)
def test_a_broken_file_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes, said: str
) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(text)
    assert launch(str(file)) == 2
    assert said in last_line(capsys)


def test_a_machine_that_prevents_the_start_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(GOOD)
    assert launch(str(file)) == 1
    assert last_line(capsys) == "vtep: error: underlay nosuch0: no such interface"


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        "[]",
        '{"do": "dance"}',
        '{"do": "spawn"}',
        '{"do": "spawn", "config": 1, "netns": "/x", "log": "/y"}',
        '{"do": "spawn", "config": "/x", "netns": "/x"}',
    ],
)
def test_the_fork_server_refuses_invalid_requests(
    monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(forkserver, "spawn", lambda request: pytest.fail("forked"))
    answer = forkserver._answer(line)
    assert answer["ok"] is False
    assert answer["error"].endswith("the request must be spawn with config, netns and log")


def test_the_fork_server_answers_with_the_agents_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    request = {"do": "spawn", "config": "/a", "netns": "/b", "log": "/c"}
    monkeypatch.setattr(forkserver, "spawn", lambda asked: 77 if asked == request else 0)
    answer = forkserver._answer(json.dumps(request))
    assert answer == {"ok": True, "result": {"pid": 77}}


def test_the_fork_server_waits_until_an_earlier_agent_has_ended() -> None:
    before = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    before.kill()
    forkserver.await_end(before.pid)
    assert os.waitid(os.P_PID, before.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    before.communicate()
    forkserver.await_end(before.pid)  # already gone: returns at once
    forkserver.await_end(None)
