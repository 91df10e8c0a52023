"""The controller's control socket: one JSON request per line, one JSON answer per line.

Request `{"do": "groups"}`; answer `{"ok": true, "result": [...]}`, or
`{"ok": false, "error": "..."}`. It uses plain sockets and threads, which eventlet replaces by its
own under Ryu.
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
    """The socket cannot be created; the text names the path and the reason."""


def answer(commands: Commands, line: bytes) -> dict[str, Any]:
    """Execute one request line and return the answer. Errors are answers, too."""
    names = ", ".join(sorted(commands))
    try:
        request = json.loads(line)
    except ValueError:
        return _error('the request is not JSON: send one object per line, as {"do": "ready"}')
    name = request.get("do") if isinstance(request, dict) else None
    if not isinstance(name, str) or name not in commands:
        return _error(f"unknown command {name!r}: must be one of {names}")
    extra = sorted(set(request) - {"do"})
    if extra:
        return _error(f"{name}: unknown argument {extra[0]!r}: the command has no arguments")
    return {"ok": True, "result": commands[name]()}


def _error(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


class ControlSocket:
    """A listening Unix socket that answers requests until it is closed."""

    def __init__(self, path: str, commands: Commands) -> None:
        self._path = path
        self._commands = commands
        self._listener = _listen(path)
        self._inode = os.stat(path).st_ino

    def serve(self) -> None:
        """Accept clients until the process ends, each in a thread of its own."""
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._converse, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Remove the socket file, unless another process has replaced it."""
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
    """Bind, replacing the socket of a dead process; one in use raises ControlError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_in_use(path):
            raise ControlError(
                f"control socket {path}: another process listens on it; choose another --control"
            )
        if os.path.lexists(path):
            os.unlink(path)
        mask = os.umask(0o177)  # the kernel creates the file with the mode that the mask leaves
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(16)
    except OSError as error:
        raise ControlError(f"control socket {path}: {error.strerror or error}") from error
    return listener


def _is_in_use(path: str) -> bool:
    """Whether a process listens on the path; a file of another type raises ControlError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return False
        except ConnectionRefusedError:  # nobody listens, or the file is not a socket (connect(2))
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise ControlError(
                    f"control socket {path}: the file exists and is not a socket;"
                    " choose another --control"
                ) from None
            return False
        return True
