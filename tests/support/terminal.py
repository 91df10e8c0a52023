"""A command on a pseudo-terminal, to type to it and read from it like a user."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from types import TracebackType
from typing import Any

_WITHIN_S = 30


def _take_terminal() -> None:
    """Make the pseudo-terminal the controlling one, whose Ctrl-C reaches the command."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """Runs a command on a pseudo-terminal; as a context manager, it ends the command."""

    def __init__(self, command: list[str], cwd: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if key != "CI"},  # a person
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.text = ""
        self._closed = False

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        if not self._closed:
            os.close(self._master)

    def type(self, text: str) -> None:
        """Type some text; "\\x03" is Ctrl-C."""
        os.write(self._master, text.encode())

    def hang_up(self) -> None:
        """Close the terminal, like a closed window or a lost connection."""
        os.close(self._master)
        self._closed = True

    def expect(self, words: str) -> str:
        """Read until the words appear; returns everything up to them, and removes it."""
        deadline = time.monotonic() + _WITHIN_S
        while words not in self.text:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._master], [], [], max(0.0, left))
            assert ready, f"{words!r} did not appear; there was:\n{self.text}"
            self.text += self._read(words)
        before, _, self.text = self.text.partition(words)
        return before

    def everything(self) -> str:
        """Read until the command ends; returns all it printed."""
        while select.select([self._master], [], [], _WITHIN_S)[0]:
            try:
                self.text += os.read(self._master, 65536).decode(errors="replace")
            except OSError:  # the kernel's way to report that the other side is closed
                return self.text
        raise AssertionError(f"does not end; there was:\n{self.text}")

    def settings(self) -> list[Any]:
        """The terminal's settings, as returned by termios."""
        return termios.tcgetattr(self._master)

    def _read(self, words: str) -> str:
        try:
            return os.read(self._master, 65536).decode(errors="replace")
        except OSError:
            raise AssertionError(f"ended before {words!r}; there was:\n{self.text}") from None

    def wait(self) -> int:
        """Wait for the command's end; returns its exit status."""
        return self.process.wait(timeout=_WITHIN_S)
