"""`python -m vtep.ctl`: its requests, its output and its exit status."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vtep import ctl

Answer = dict[str, Any]


class Agent:
    """Sends given answers on one connection, and records the requests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[Any] = []
        self.answers: list[Answer] = [{"ok": True, "result": {}}]
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        with peer, peer.makefile("rw", encoding="utf-8") as lines:
            self.asked.append(json.loads(lines.readline()))
            lines.writelines(json.dumps(answer) + "\n" for answer in self.answers)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path / "agent.sock")
    yield made
    made.close()


def run(agent: Agent, words: str) -> int:
    return ctl.main(["--socket", str(agent.path), *words.split()])


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ("ready", {"do": "ready"}),
        ("fdb", {"do": "fdb"}),
        ("fdb --vni 10", {"do": "fdb", "vni": 10}),
        ("flush --mac 02:00:00:00:00:0a", {"do": "flush", "mac": "02:00:00:00:00:0a"}),
        ("vni add 10 239.1.1.10", {"do": "vni_add", "vni": 10, "group": "239.1.1.10"}),
        (
            "vni add 10 239.1.1.10 --vlan 7 --port trunk0",
            {"do": "vni_add", "vni": 10, "group": "239.1.1.10", "vlan": 7, "port": "trunk0"},
        ),
        (
            "vni add 10 --remote 192.0.2.12 --remote 192.0.2.13",
            {"do": "vni_add", "vni": 10, "remotes": ["192.0.2.12", "192.0.2.13"]},
        ),
        (
            "vni add 10 239.1.1.10 --inner-tags carry --suppress-arp",
            {"do": "vni_add", "vni": 10, "group": "239.1.1.10", "inner_tags": "carry",
             "suppress_arp": True},
        ),
        ("vni del 10", {"do": "vni_del", "vni": 10}),
        (
            "static add 10 02:00:00:00:00:0a 192.0.2.12 --add",
            {"do": "static_add", "vni": 10, "mac": "02:00:00:00:00:0a", "remote": "192.0.2.12",
             "add": True},
        ),
        ("stop", {"do": "stop"}),
    ],
)  # fmt: skip
def test_arguments_become_a_request(agent: Agent, words: str, request_: Any) -> None:
    assert run(agent, words) == 0
    assert agent.asked == [request_]


def test_the_result_is_printed_as_json(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers = [{"ok": True, "result": [{"vni": 10}]}]
    assert run(agent, "stats") == 0
    assert json.loads(capsys.readouterr().out) == [{"vni": 10}]


def test_a_refusal_is_printed_with_status_1(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answers = [{"ok": False, "error": "vni = 11: this VTEP has no such VNI"}]
    assert run(agent, "fdb --vni 11") == 1
    said = capsys.readouterr()
    assert said.err == "vtep.ctl: vni = 11: this VTEP has no such VNI\n" and said.out == ""


def test_events_are_printed_on_arrival(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers = [{"ok": True, "result": {}}, {"decision": "learned"}, {"decision": "aged"}]
    assert run(agent, "events --initial") == 0
    assert agent.asked == [{"do": "events", "initial": True}]
    decisions = [json.loads(line)["decision"] for line in capsys.readouterr().out.splitlines()]
    assert decisions == ["learned", "aged"]


def test_a_missing_agent_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.sock"
    assert ctl.main(["--socket", str(missing), "ready"]) == 1
    assert f"{missing}: No such file or directory; is the agent running?" in capsys.readouterr().err


def test_a_missing_socket_option_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VXLAB_VTEP_SOCKET", raising=False)
    assert ctl.main(["ready"]) == 2
    assert "--socket PATH or $VXLAB_VTEP_SOCKET is required" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", "vni", "vni add ten 239.1.1.10", "fdb --vni x", "fly"])
def test_unknown_arguments_are_a_usage_error(words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        ctl.main(["--socket", "/unassigned_counters", *words.split()])
    assert ended.value.code == 2
