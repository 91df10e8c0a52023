"""The control socket: its answers, its file, its errors."""

from __future__ import annotations

import json
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from controller.control import Commands, ControlError, ControlSocket, answer

COMMANDS: Commands = {"ready": lambda: {"ready": True}, "groups": list}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"do": "ready"}', {"ok": True, "result": {"ready": True}}),
        (b'{"do": "groups"}', {"ok": True, "result": []}),
    ],
)
def test_known_commands_are_answered(line: bytes, expected: dict[str, Any]) -> None:
    assert answer(COMMANDS, line) == expected


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"hello", "JSON"),
        (b"\xff", "JSON"),
        (b"[]", "unknown command None"),
        (b'{"do": "fly"}', "'fly': allowed are groups, ready"),
        (b'{"do": ["ready"]}', "unknown command"),
        (b'{"do": "ready", "vni": 1}', "ready: unknown argument 'vni'"),
    ],
)
def test_anything_else_is_an_error_of_one_line(line: bytes, word: str) -> None:
    told = answer(COMMANDS, line)
    assert told["ok"] is False and word in told["error"] and "\n" not in told["error"]


def test_several_requests_follow_on_one_connection(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    control = ControlSocket(path, COMMANDS)
    threading.Thread(target=control.serve, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b'{"do": "ready"}\n{"do": "groups"}\n')
        stream = client.makefile()
        assert [json.loads(stream.readline())["ok"] for _ in range(2)] == [True, True]


def test_the_file_is_private_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    control = ControlSocket(str(path), COMMANDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    control.close()
    assert not path.exists()


def test_a_dead_process_file_is_replaced_and_a_live_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    control = ControlSocket(str(path), COMMANDS)
    with pytest.raises(ControlError, match="another process listens"):
        ControlSocket(str(path), COMMANDS)
    control.close()


def test_a_plain_file_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    with pytest.raises(ControlError, match="is no socket"):
        ControlSocket(str(path), COMMANDS)
    assert path.read_text() == "mine"


def test_a_path_that_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="No such file"):
        ControlSocket(str(tmp_path / "missing" / "sock"), COMMANDS)
