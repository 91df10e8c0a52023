"""A control socket: requests are carried out one at a time, in a thread."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vxlab.errors import LabError, UsageError

Table = Mapping[str, Callable[..., Any]]


def serve(path: Path, table: Table) -> None:
    """Listen at path and answer requests by the table, until the process ends."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen()
    threading.Thread(target=_accept, args=(listener, table), daemon=True).start()


def _accept(listener: socket.socket, table: Table) -> None:
    while True:
        peer, _ = listener.accept()
        with peer, peer.makefile("rw", encoding="utf-8") as lines:
            try:
                for line in lines:
                    lines.write(json.dumps(_answer(line, table)) + "\n")
                    lines.flush()
            except OSError:
                continue  # the client has gone; its request was carried out


def _answer(line: str, table: Table) -> dict[str, Any]:
    try:
        request = json.loads(line)
        action = table[request.pop("do")]
        return {"ok": True, "result": action(**request)}
    except LabError as error:
        return {"ok": False, "error": str(error), "usage": isinstance(error, UsageError)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"ok": False, "error": f"request {line.strip()!r}; allowed: {', '.join(table)}"}
