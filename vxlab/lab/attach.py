"""The client side of `vxlab cli`: hand this terminal to the Mininet CLI of a running lab."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from vxlab.errors import LabError

# To the lab: one byte for each signal that the terminal sends to the client.
INTERRUPT, RESIZE = b"i", b"w"
# From the lab.
STARTED, ENDED, CLOSED = b"s", b"e", b"c"


def attach(path: Path) -> None:
    """Run the CLI of the lab whose CLI socket is at path; returns when the user leaves it.

    LabError if the lab refuses, or ends meanwhile.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        try:
            peer.connect(str(path))
            socket.send_fds(peer, [b"a"], [0, 1, 2])
        except OSError as error:
            raise LabError(f"{path.name}: {error.strerror}") from error
        with _forwarded(peer):
            _follow(peer)


def _follow(peer: socket.socket) -> None:
    try:
        answer = peer.recv(1)
        if answer == CLOSED:
            raise LabError(peer.recv(4096).decode())
        while answer == STARTED:
            answer = peer.recv(1)
    except ConnectionError:
        answer = b""
    if answer != ENDED:
        raise LabError("the lab has ended")


@contextlib.contextmanager
def _forwarded(peer: socket.socket) -> Iterator[None]:
    """Send interrupts and changes of the window's size to the lab instead of acting on them."""

    def forward(word: bytes) -> None:
        with contextlib.suppress(OSError):
            peer.sendall(word)

    handlers: dict[signal.Signals, Callable[..., object] | signal.Handlers] = {
        signal.SIGINT: lambda *_: forward(INTERRUPT),
        signal.SIGWINCH: lambda *_: forward(RESIZE),
        # Stopping the client would leave two readers on one terminal: the CLI and the shell.
        signal.SIGTSTP: signal.SIG_IGN,
        signal.SIGTERM: _terminate,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(*_: object) -> None:
    """End by an exception, so that the terminal is restored on the way out."""
    raise SystemExit(128 + signal.SIGTERM)
