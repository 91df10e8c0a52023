"""The controller's control socket: one JSON request a line, one JSON answer a line.

Request `{"do": "groups"}`; answer `{"ok": true, "result": [...]}`, or
`{"ok": false, "error": "..."}`.
Uses plain sockets and threads, which a framework with green threads replaces by its own.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from typing import Any

Commands = dict[str, Callable[[], Any]]

_LONGEST_REQUEST = 65536


class ControlError(Exception):
    """The socket cannot be made; the text names the path and why."""


def answer(commands: Commands, line: bytes) -> dict[str, Any]:
    """Carry out one request line."""
    allowed = ", ".join(sorted(commands))
    try:
        request = json.loads(line)
    except ValueError:
        return {"ok": False, "error": "request is no JSON: one object a line is expected"}
    name = request.get("do") if isinstance(request, dict) else None
    if not isinstance(name, str) or name not in commands:
        return {"ok": False, "error": f"unknown command {name!r}: allowed are {allowed}"}
    extra = sorted(set(request) - {"do"})
    if extra:
        return {"ok": False, "error": f"{name}: unknown argument {extra[0]!r}: it takes none"}
    return {"ok": True, "result": commands[name]()}


class ControlSocket:
    """A listening Unix socket that answers requests until it is closed."""

    def __init__(self, path: str, commands: Commands) -> None:
        self._path = path
        self._commands = commands
        self._listener = _listen(path)
        self._inode = os.stat(path).st_ino

    def serve(self) -> None:
        """Accept clients for ever, each in a thread of its own."""
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._converse, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Remove the socket file, unless somebody has put another in its place."""
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except FileNotFoundError:
            pass

    def _converse(self, client: socket.socket) -> None:
        with client, client.makefile("rwb") as stream:
            try:
                while line := stream.readline(_LONGEST_REQUEST):
                    stream.write(json.dumps(answer(self._commands, line)).encode() + b"\n")
                    stream.flush()
            except (BrokenPipeError, ConnectionResetError):
                return


def _listen(path: str) -> socket.socket:
    """Bind, replacing the file of a dead process; a live one's is an error."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_alive(path):
            raise ControlError(f"{path}: another process listens there; choose another --control")
        if os.path.lexists(path):
            os.unlink(path)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(16)
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}") from error
    return listener


def _is_alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return False
        except ConnectionRefusedError:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise ControlError(f"{path}: is no socket; choose another --control") from None
            return False
        return True
