"""A control socket and its clients in one thread: `turn` runs the agent's side."""

from __future__ import annotations

import json
import selectors
import socket
from pathlib import Path
from typing import Any

from vtep.control import Client, Commands, Control


class Server:
    """The agent's side: a control socket with its own selector."""

    def __init__(self, path: Path, commands: Commands) -> None:
        self.path = path
        self.selector = selectors.DefaultSelector()
        self.control = Control(str(path), self.selector, commands)

    def turn(self) -> None:
        """Handle all ready descriptors, until none is ready."""
        while ready := self.selector.select(0):
            for key, mask in ready:
                key.data(mask)

    def clients(self) -> list[Client]:
        """The connections that are open."""
        return list(self.control._clients)

    def close(self) -> None:
        """Close the socket and the selector."""
        self.control.close()
        self.selector.close()


class Peer:
    """The client's side of one connection."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(server.path))
        self.socket.setblocking(False)
        self._received = b""
        server.turn()

    def send(self, data: bytes) -> None:
        """Send bytes as they are; the server runs until all are sent."""
        while data:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                pass
            self.server.turn()

    def receive(self) -> list[Any]:
        """The lines received so far, as JSON."""
        self.server.turn()
        while True:
            try:
                arrived = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            if not arrived:
                break
            self._received += arrived
            self.server.turn()
        *lines, self._received = self._received.split(b"\n")
        return [json.loads(line) for line in lines]

    def ask(self, do: str, /, **arguments: Any) -> Any:
        """Send one request; returns its answer."""
        self.send(json.dumps({"do": do, **arguments}).encode() + b"\n")
        (answer,) = self.receive()
        return answer

    def refusal(self, do: str, /, **arguments: Any) -> str:
        """Send one request that must be refused; returns the error."""
        answer = self.ask(do, **arguments)
        assert answer["ok"] is False and "\n" not in answer["error"]
        return str(answer["error"])

    def result(self, do: str, /, **arguments: Any) -> Any:
        """Send one request that must succeed; returns its result."""
        answer = self.ask(do, **arguments)
        assert answer["ok"] is True, answer
        return answer["result"]

    def is_closed(self) -> bool:
        """Whether the server has closed the connection."""
        try:
            return self.socket.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Close the connection, and let the server notice."""
        self.socket.close()
        self.server.turn()
