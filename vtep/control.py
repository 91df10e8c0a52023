"""The control socket: JSON lines in, JSON lines out, and a stream of events for who asks.

Non-blocking throughout: a slow or silent client costs the agent nothing but a bounded backlog.
What the commands mean stands in commands.py.
"""

from __future__ import annotations

import inspect
import json
import os
import selectors
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vtep.errors import StartError

Commands = Mapping[str, Callable[..., Any]]

_BACKLOG = 4 << 20  # bytes that may wait for a slow reader
_LONGEST_REQUEST = 1 << 20


class Refused(Exception):
    """A request that cannot be carried out; its text goes to the asker."""


class Control:
    """A listening unix socket and its clients, driven by the agent's selector."""

    def __init__(self, path: str, selector: selectors.BaseSelector, commands: Commands) -> None:
        """Listen at path; StartError if a living agent listens there."""
        self._path = Path(path)
        self._selector = selector
        self._commands = commands
        self._listener = _listen(self._path)
        self._clients: set[Client] = set()
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self, _mask: int) -> None:
        peer, _ = self._listener.accept()
        self._clients.add(Client(peer, self._selector, self._commands, self._clients.discard))

    def close(self) -> None:
        """Let go of all clients and remove the socket's file."""
        for client in list(self._clients):
            client.flush_and_close()
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if path.exists():
        try:
            listener.connect(str(path))
        except OSError:
            path.unlink()  # left by an agent that died
        else:
            raise StartError(f"control {path}: another agent listens there")
        listener.close()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise StartError(f"control {path}: {error.strerror}") from None
    finally:
        os.umask(mask)
    listener.listen(64)
    listener.setblocking(False)
    return listener


class Client:
    """One connection."""

    def __init__(
        self,
        peer: socket.socket,
        selector: selectors.BaseSelector,
        commands: Commands,
        gone: Callable[[Client], None],
    ) -> None:
        self._peer = peer
        self._selector = selector
        self._commands = commands
        self._gone = gone
        self._received = b""
        self._waiting = bytearray()
        self._lost = 0
        self.on_close: Callable[[], None] | None = None
        peer.setblocking(False)
        selector.register(peer, selectors.EVENT_READ, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ:
            self._read()

    def _read(self) -> None:
        try:
            arrived = self._peer.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            arrived = b""
        self._received += arrived
        if not arrived or len(self._received) > _LONGEST_REQUEST:
            self.close()
            return
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            self._answer(line)

    def _answer(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            name = request.pop("do")
        except (ValueError, AttributeError, KeyError):
            self.send({"ok": False, "error": 'a request is {"do": COMMAND, ...} in one line'})
            return
        command = self._commands.get(name)
        if command is None:
            allowed = ", ".join(self._commands)
            self.send({"ok": False, "error": f"do = {name!r}: allowed is {allowed}"})
            return
        self._carry_out(command, request)

    def _carry_out(self, command: Callable[..., Any], arguments: dict[str, Any]) -> None:
        try:
            inspect.signature(command).bind(self, **arguments)
        except TypeError as error:
            self.send({"ok": False, "error": f"arguments {sorted(arguments)}: {error}"})
            return
        try:
            result = command(self, **arguments)
        except Refused as refusal:
            self.send({"ok": False, "error": str(refusal)})
        else:
            if result is not None:  # None: the command has answered by itself
                self.send({"ok": True, "result": result})

    def send(self, document: Any) -> None:
        """Queue one JSON line, whatever waits already: for answers."""
        self._waiting += json.dumps(document).encode() + b"\n"
        self._flush()

    def stream(self, document: Callable[[], Any]) -> None:
        """Queue one line of a stream, unless the reader is too slow: then count it as lost."""
        if len(self._waiting) > _BACKLOG:
            self._lost += 1
            return
        if self._lost:
            self._waiting += b'{"decision": "lost", "count": %d}\n' % self._lost
            self._lost = 0
        self.send(document())

    def _flush(self) -> None:
        try:
            while self._waiting:
                sent = self._peer.send(self._waiting)
                del self._waiting[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._waiting else 0)
        self._selector.modify(self._peer, wanted, self._ready)

    def flush_and_close(self) -> None:
        """Send what can be sent at once, then close."""
        if self._peer.fileno() >= 0:
            self._flush()
        self.close()

    def close(self) -> None:
        """Let go of the connection, once."""
        if self._peer.fileno() < 0:
            return
        self._selector.unregister(self._peer)
        self._peer.close()
        self._gone(self)
        if self.on_close is not None:
            self.on_close()
