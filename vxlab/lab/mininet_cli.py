"""Mininet's CLI of a lab, with the lab's own commands, and its use from another terminal.

`vxlab cli` hands its standard streams to the lab's main process, which runs the CLI on them: the
Mininet objects exist only there. One CLI runs at a time, in the main thread, because
Mininet's nodes have one shell each. The client stays in the foreground of its terminal, so Ctrl-C
reaches the client; it forwards interrupts as bytes over the connection.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from mininet.cli import CLI
from mininet.log import error, setLogLevel

from vxlab.lab.attach import CLOSED, ENDED, INTERRUPT, STARTED
from vxlab.system import programs

_IN_USE = "the Mininet CLI of this lab is in use on another terminal"
_MAIN = threading.main_thread().ident or 0


class LabCLI(CLI):
    """Mininet's CLI; `fdb`, `groups`, `stats` and `events` are those of `vxlab`."""

    def __init__(self, net: Any) -> None:
        """Read commands from standard input until `exit` or its end."""
        with _watchable(sys.stdin) as stdin:
            super().__init__(net, stdin=stdin)

    def do_fdb(self, line: str) -> None:
        """Show learned tables. Usage: fdb [HYPERVISOR] [--json]"""
        self._vxlab("fdb", line)

    def do_groups(self, line: str) -> None:
        """Show multicast groups, their members and what is snooped. Usage: groups [--json]"""
        self._vxlab("groups", line)

    def do_stats(self, line: str) -> None:
        """Show counters. Usage: stats [HYPERVISOR] [--json]"""
        self._vxlab("stats", line)

    def do_events(self, line: str) -> None:
        """Print decisions of VTEP agents until Ctrl-C. Usage: events [HYPERVISOR] [--json]"""
        self._vxlab("events", line)

    def _vxlab(self, command: str, line: str) -> None:
        """Run a command of `vxlab` on this lab; Ctrl-C ends the command, not the CLI."""
        try:
            words = shlex.split(line)
        except ValueError as wrong:
            error(f"*** {command}: {wrong}\n")
            return
        # A session of its own: Ctrl-C reaches it once, through us, on whatever terminal it is.
        child = subprocess.Popen(
            programs.module("vxlab", command, *words),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        while child.poll() is None:
            try:
                child.wait()
            except KeyboardInterrupt:
                child.send_signal(signal.SIGINT)


@contextlib.contextmanager
def _watchable(stdin: TextIO) -> Iterator[TextIO]:
    """What Mininet may watch for keys while a node runs a command.

    It passes keys to that command. From a terminal this is intended; from a file or a pipe it
    would take the commands that follow, so a pipe that stays empty is watched instead.
    """
    if stdin.isatty():
        yield stdin
        return
    readable, writable = os.pipe()
    with os.fdopen(readable) as silent:
        yield silent
    os.close(writable)


class _Hangup(BaseException):
    """The client has gone: end the CLI, whatever it does."""


class _Session:
    """One client: its streams, and the connection that carries its interrupts."""

    def __init__(self, peer: socket.socket, streams: list[int]) -> None:
        self.peer = peer
        self.streams = streams
        self.gone = False  # the client has closed the connection
        self._over = False  # the CLI has ended; signals would meet the next session

    def forward(self) -> None:
        """Turn what the client sends into signals to the main thread, until the client closes."""
        with contextlib.suppress(OSError), self.peer:
            while word := self.peer.recv(1):
                self._signal(signal.SIGINT if word == INTERRUPT else signal.SIGWINCH)
        self.gone = True
        self._signal(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        if not self._over:
            signal.pthread_kill(
                _MAIN, number
            )  # else a blocking call there would not be interrupted

    def send(self, word: bytes) -> None:
        """Send one byte; a client that has gone needs none."""
        with contextlib.suppress(OSError):
            self.peer.sendall(word)

    def end(self) -> None:
        """Report the end to the client, which then closes the connection."""
        self._over = True
        self.send(ENDED)


class CliServer:
    """Serves `vxlab cli` at a socket; a second client is refused while one is served."""

    def __init__(self, path: Path) -> None:
        self._sessions: queue.Queue[_Session] = queue.Queue()
        self._busy = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            threading.Thread(target=self._admit, args=(peer,), daemon=True).start()

    def _admit(self, peer: socket.socket) -> None:
        streams: list[int] = []
        with contextlib.suppress(OSError):
            _, streams, _, _ = socket.recv_fds(peer, 1, 3)
        if len(streams) != 3 or not self._busy.acquire(blocking=False):
            for fd in streams:
                os.close(fd)
            with contextlib.suppress(OSError), peer:
                peer.sendall(CLOSED + _IN_USE.encode())
            return
        session = _Session(peer, streams)
        self._sessions.put(session)
        session.forward()

    def run_here(self, net: Any) -> None:
        """Run the CLI on this process's own terminal; clients are refused meanwhile."""
        with self._busy:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            setLogLevel("output")
            LabCLI(net)

    def serve(self, net: Any) -> None:
        """Serve one client after the other in the main thread; does not return."""
        while True:
            session = self._sessions.get()
            try:
                _serve(session, lambda: LabCLI(net))
            except (KeyboardInterrupt, SystemExit, _Hangup):
                continue  # from an interrupt that came last
            finally:
                session.end()
                self._busy.release()


def _serve(session: _Session, cli: Callable[[], object]) -> None:
    """Run the CLI on the client's streams; an error in it ends the session, not the lab."""

    def interrupted(*_: object) -> None:
        raise _Hangup if session.gone else KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with _streams(session.streams):
        setLogLevel("output")
        session.send(STARTED)
        try:
            signal.signal(signal.SIGINT, interrupted)
            cli()
        except Exception:
            traceback.print_exc()  # to the client: an error of Mininet or of a `py` command
        finally:
            signal.signal(signal.SIGINT, before)
            setLogLevel("error")


@contextlib.contextmanager
def _streams(theirs: list[int]) -> Iterator[None]:
    """Use the client's streams as standard input, output and error, and ours again afterwards."""
    ours = [os.dup(fd) for fd in range(3)]
    stdin = sys.stdin
    for fd, place in zip(theirs, range(3), strict=True):
        os.dup2(fd, place)
        os.close(fd)
    # A new object: the old one may have met its end of file.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        sys.stdin = stdin
        for fd, place in zip(ours, range(3), strict=True):
            os.dup2(fd, place)
            os.close(fd)
