"""The control socket: answers, socket file, errors."""

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
        (b'{"do": "fly"}', "'fly': must be one of groups, ready"),
        (b'{"do": ["ready"]}', "unknown command"),
        (b'{"do": "ready", "vni": 1}', "ready: unknown argument 'vni'"),
    ],
)
def test_an_invalid_request_gets_an_error_of_one_line(line: bytes, word: str) -> None:
    reply = answer(COMMANDS, line)
    assert reply["ok"] is False and word in reply["error"] and "\n" not in reply["error"]


def test_a_connection_takes_several_requests(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    control = ControlSocket(path, COMMANDS)
    threading.Thread(target=control.serve, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b'{"do": "ready"}\n{"do": "groups"}\n')
        stream = client.makefile()
        assert [json.loads(stream.readline())["ok"] for _ in range(2)] == [True, True]


def test_the_socket_file_is_private_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    control = ControlSocket(str(path), COMMANDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    control.close()
    assert not path.exists()


def test_the_socket_of_a_dead_process_is_replaced_and_one_in_use_is_an_error(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    control = ControlSocket(str(path), COMMANDS)
    with pytest.raises(ControlError, match="another process listens"):
        ControlSocket(str(path), COMMANDS)
    control.close()


def test_a_plain_file_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("notes")
    with pytest.raises(ControlError, match="is not a socket"):
        ControlSocket(str(path), COMMANDS)
    assert path.read_text() == "notes"


def test_a_path_in_a_missing_directory_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"missing/sock: No such file"):
        ControlSocket(str(tmp_path / "missing" / "sock"), COMMANDS)
