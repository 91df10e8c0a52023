"""A control socket and its clients in one thread: `turn` lets the agent's side do what it can."""

from __future__ import annotations

import json
import selectors
import socket
from pathlib import Path
from typing import Any

from vtep.control import Client, Commands, Control


class Server:
    """The agent's side: a control socket on a selector of its own."""

    def __init__(self, path: Path, commands: Commands) -> None:
        self.path = path
        self.selector = selectors.DefaultSelector()
        self.control = Control(str(path), self.selector, commands)

    def turn(self) -> None:
        """Handle all that is ready, until nothing is."""
        while ready := self.selector.select(0):
            for key, mask in ready:
                key.data(mask)

    def clients(self) -> list[Client]:
        """The connections that are open."""
        return list(self.control._clients)

    def close(self) -> None:
        """End both the socket and the selector."""
        self.control.close()
        self.selector.close()


class Asker:
    """A client of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(server.path))
        self.socket.setblocking(False)
        self._received = b""
        server.turn()

    def say(self, data: bytes) -> None:
        """Send bytes as they are; the server takes turns until all have gone."""
        while data:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                pass
            self.server.turn()

    def hear(self) -> list[Any]:
        """The lines that have come so far, as JSON."""
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
        """One request; its answer."""
        self.say(json.dumps({"do": do, **arguments}).encode() + b"\n")
        (answer,) = self.hear()
        return answer

    def refusal(self, do: str, /, **arguments: Any) -> str:
        """One request that is refused; why."""
        answer = self.ask(do, **arguments)
        assert answer["ok"] is False and "\n" not in answer["error"]
        return str(answer["error"])

    def result(self, do: str, /, **arguments: Any) -> Any:
        """One request that is granted; its result."""
        answer = self.ask(do, **arguments)
        assert answer["ok"] is True, answer
        return answer["result"]

    def has_been_left(self) -> bool:
        """Whether the server has closed the connection."""
        try:
            return self.socket.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Go away, and let the server notice."""
        self.socket.close()
        self.server.turn()
