"""One request, one answer, as JSON lines over a unix socket: how agents, controller and lab are asked."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topologies.lab.errors import LabError
from topologies.lab.waiting import BUDGET_S


class Unreachable(LabError):
    """Nobody answers at a socket: the part behind it is dead or not up yet."""


def connect(path: Path) -> socket.socket:
    """Open the socket at path, or raise Unreachable."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(BUDGET_S["socket answers"])
    try:
        peer.connect(str(path))
    except OSError as error:
        peer.close()
        raise Unreachable(f"{path.name}: {error.strerror}") from error
    return peer


def answers(path: Path) -> bool:
    """Whether a living process listens at path."""
    try:
        connect(path).close()
    except Unreachable:
        return False
    return True


def _result(path: Path, line: str) -> Any:
    if not line:
        raise Unreachable(f"{path.name}: closed without an answer")
    answer = json.loads(line)
    if not answer["ok"]:
        raise LabError(answer["error"])
    return answer.get("result")


def ask(path: Path, do: str, **arguments: Any) -> Any:
    """Send one request and return its result; LabError bears what the other side refused."""
    try:
        with connect(path) as peer, peer.makefile("rw", encoding="utf-8") as lines:
            lines.write(json.dumps({"do": do, **arguments}) + "\n")
            lines.flush()
            return _result(path, lines.readline())
    except (TimeoutError, ConnectionError) as error:
        raise Unreachable(f"{path.name}: {error}") from error


def subscribe(path: Path, do: str, **arguments: Any) -> tuple[socket.socket, Iterator[dict]]:
    """Send one request whose answer is followed by a stream of JSON lines, until either side closes."""
    peer = connect(path)
    lines = peer.makefile("rw", encoding="utf-8")
    lines.write(json.dumps({"do": do, **arguments}) + "\n")
    lines.flush()
    _result(path, lines.readline())
    peer.settimeout(None)
    return peer, (json.loads(line) for line in lines)
