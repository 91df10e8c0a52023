"""Requests to the control sockets of agents, controller and lab: JSON lines, one answer each."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from vxlab.errors import LabError, UsageError
from vxlab.waiting import BUDGET_S


class Unreachable(LabError):
    """No process answers at a socket: its component has failed or is not up yet."""


def connect(path: Path) -> socket.socket:
    """Connect to the socket at path; Unreachable if no process listens."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(BUDGET_S["socket answers"])
    try:
        peer.connect(str(path))
    except OSError as error:
        peer.close()
        raise Unreachable(f"{path.name}: {error.strerror}") from error
    return peer


def answers(path: Path) -> bool:
    """Whether a process listens at path."""
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
        raise (UsageError if answer.get("usage") else LabError)(answer["error"])
    return answer.get("result")


def ask(path: Path, do: str, **arguments: Any) -> Any:
    """Send one request and return its result; LabError or UsageError if it is refused."""
    try:
        with connect(path) as peer, peer.makefile("rw", encoding="utf-8") as lines:
            lines.write(json.dumps({"do": do, **arguments}) + "\n")
            lines.flush()
            return _result(path, lines.readline())
    except (TimeoutError, ConnectionError) as error:
        raise Unreachable(f"{path.name}: {error}") from error


class Subscription:
    """A stream of JSON lines that follows the answer to one request; selectable."""

    def __init__(self, path: Path, do: str, **arguments: Any) -> None:
        """Send the request; Unreachable or LabError if it is not answered or is refused."""
        self._peer = connect(path)
        self._pending = b""
        self._peer.sendall((json.dumps({"do": do, **arguments}) + "\n").encode())
        while b"\n" not in self._pending:
            self._fill(path)
        line, _, self._pending = self._pending.partition(b"\n")
        _result(path, line.decode())
        self._peer.setblocking(False)

    def _fill(self, path: Path) -> None:
        arrived = self._peer.recv(65536)
        if not arrived:
            raise Unreachable(f"{path.name}: closed without an answer")
        self._pending += arrived

    def fileno(self) -> int:
        """The descriptor, for selectors: readable when records have arrived."""
        return self._peer.fileno()

    def receive(self) -> list[dict[str, Any]] | None:
        """The complete records that have arrived; None when the other side has closed."""
        try:
            while arrived := self._peer.recv(1 << 20):
                self._pending += arrived
            closed = True
        except BlockingIOError:
            closed = False
        *lines, self._pending = self._pending.split(b"\n")
        return None if closed and not lines else [json.loads(line) for line in lines]

    def close(self) -> None:
        """End the subscription."""
        self._peer.close()
