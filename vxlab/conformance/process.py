"""The VTEP under test as a process: started with a configuration file, watched and ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from vxlab.conformance.verdict import Packet
from vxlab.errors import LabError

_ENDS_WITHIN_S = 5.0


class DidNotStart(LabError):
    """The VTEP ended before it forwarded, or does not forward.

    packets: what was sent to it, and what came out. output: everything it printed.
    """

    def __init__(self, text: str, packets: Sequence[Packet] = (), output: str = "") -> None:
        super().__init__(text)
        self.packets = tuple(packets)
        self.output = output


class VtepProcess:
    """One run of `CMD --config FILE.toml`."""

    def __init__(self, command: list[str], config: Path) -> None:
        """Start it; DidNotStart if there is no such command.

        Its output goes to a log next to the configuration file.
        """
        self._config = config
        self._log = config.with_suffix(".log")
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    [*command, "--config", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise DidNotStart(f"{command[0]}: {error.strerror}") from None

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Everything it has printed, on stdout and stderr."""
        return self._log.read_text(errors="replace")

    def last_line(self) -> str:
        """The last line of its output."""
        lines = self.output().strip().splitlines()
        return lines[-1].replace(f"{self._config}: ", "") if lines else "no output"

    def exit_text(self) -> str:
        """How it ended, in one line."""
        return f"the VTEP ended with status {self.status}: {self.last_line()}"

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def end(self) -> int | None:
        """End it by SIGTERM, then by SIGKILL; the exit status, None if it had to be killed."""
        self._process.terminate()
        status: int | None = None
        try:
            status = self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass
        for pid in self._left_over():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        return status

    def _left_over(self) -> Iterator[int]:
        """The processes of its session that still run."""
        for directory in Path("/proc").iterdir():
            if directory.name.isdigit() and _session(directory) == self._process.pid:
                yield int(directory.name)


def _session(directory: Path) -> int | None:
    try:
        text = (directory / "stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[3])
