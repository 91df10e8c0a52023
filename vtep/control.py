"""The control socket: JSON lines in, JSON lines out, and streams of events.

Nothing here blocks: a slow or silent client costs the agent a bounded backlog and no more. The
commands themselves are in commands.py.
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

_BACKLOG = 4 << 20  # bytes queued for a slow reader
_LONGEST_REQUEST = 1 << 20


class Refused(Exception):
    """A request cannot be carried out; the text is sent to the client."""


class Control:
    """A listening unix socket and its clients, driven by the agent's selector."""

    def __init__(self, path: str, selector: selectors.BaseSelector, commands: Commands) -> None:
        """Listen at a path; StartError if another running agent listens there."""
        self._path = Path(path)
        self._selector = selector
        self._commands = commands
        self._listener = _listen(self._path)
        self._clients: set[Client] = set()
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self, _mask: int) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # the client has gone, or there are too many open files
        self._clients.add(Client(peer, self._selector, self._commands, self._clients.discard))

    def close(self) -> None:
        """Close all connections and remove the socket's file."""
        for client in list(self._clients):
            client.flush_and_close()
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        _clear_away(path)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise StartError(f"control {path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def _clear_away(path: Path) -> None:
    """Remove the socket of an agent that no longer runs, and no other file."""
    if not path.is_socket():
        return  # bind reports any other problem with the path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise StartError(f"control {path}: another agent listens there")


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

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._peer.fileno() < 0

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and not self.closed:
            self._flush()
            self._work()
        if mask & selectors.EVENT_READ and not self.closed:
            self._read()

    def _read(self) -> None:
        try:
            arrived = self._peer.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            arrived = b""
        if not arrived:
            self.close()
            return
        self._received += arrived
        self._work()
        if len(self._received) > _LONGEST_REQUEST and b"\n" not in self._received:
            self.send(
                {"ok": False, "error": f"a request must have at most {_LONGEST_REQUEST} bytes"}
            )
            self.close()

    def _work(self) -> None:
        """Answer the complete requests, as long as the client reads the answers."""
        while not self.closed and len(self._waiting) <= _BACKLOG:
            line, end, rest = self._received.partition(b"\n")
            if not end:
                return
            self._received = rest
            self._answer(line)

    def _answer(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            name = request.pop("do")
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            self.send({"ok": False, "error": 'a request must be {"do": COMMAND, ...} on one line'})
            return
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            known = ", ".join(self._commands)
            self.send({"ok": False, "error": f"do = {name!r}: must be one of {known}"})
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
            if result is not None:  # None: the command has sent an answer itself
                self.send({"ok": True, "result": result})

    def send(self, document: Any) -> None:
        """Queue one JSON line, however long the queue is: for answers."""
        self._waiting += json.dumps(document).encode() + b"\n"
        self._flush()

    def stream(self, document: Callable[[], Any]) -> None:
        """Queue one line of a stream; count it as lost if the reader is too slow."""
        if len(self._waiting) > _BACKLOG:
            self._lost += 1
            return
        self._report_lost()
        self.send(document())

    def _report_lost(self) -> bool:
        """Queue the record of lost lines, if there are any; returns whether there were."""
        if not self._lost:
            return False
        self._waiting += b'{"decision": "lost", "count": %d}\n' % self._lost
        self._lost = 0
        return True

    def _flush(self) -> None:
        try:
            while self._waiting or self._report_lost():
                sent = self._peer.send(self._waiting)
                del self._waiting[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        wanted = selectors.EVENT_WRITE if self._waiting else selectors.EVENT_READ
        if len(self._waiting) <= _BACKLOG:
            wanted |= selectors.EVENT_READ
        self._selector.modify(self._peer, wanted, self._ready)

    def flush_and_close(self) -> None:
        """Send what can be sent without waiting, then close."""
        if not self.closed:
            self._flush()
        self.close()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        if self.closed:
            return
        self._selector.unregister(self._peer)
        self._peer.close()
        self._gone(self)
        if self.on_close is not None:
            self.on_close()
