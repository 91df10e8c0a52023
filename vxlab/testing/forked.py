"""`vxlab` in a fork of this process: the same command, without the time Python takes to start.

For commands that query a lab or run something in it. Commands that start or end a lab run as
processes of their own, which inherit nothing from the test run.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from typing import NoReturn

from vxlab.cli.main import main


def vxlab_forked(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run `vxlab`, whatever its exit status; TimeoutExpired as from subprocess.run."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = fork()
        if child == 0:
            _become_vxlab(arguments, out.fileno(), err.fileno())
        status = _end_of(child, timeout)
        stdout, stderr = (_text(file.fileno()) for file in (out, err))
    if status is None:
        raise subprocess.TimeoutExpired(["vxlab", *arguments], timeout, stdout, stderr)
    return subprocess.CompletedProcess(["vxlab", *arguments], status, stdout, stderr)


def fork() -> int:
    """os.fork(); the child must only run code of ours and then call os._exit().

    Python 3.12 warns where another thread exists, such as the timer of pytest-timeout.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _text(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")


def _end_of(child: int, timeout: float) -> int | None:
    """The exit status; None if it had to be killed, and with it what it runs in a node."""
    process = os.pidfd_open(child)
    poller = select.poll()
    poller.register(process, select.POLLIN)
    ended = poller.poll(timeout * 1000)
    os.close(process)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become_vxlab(arguments: tuple[str, ...], out: int, err: int) -> NoReturn:
    """The forked child: it leaves alone everything of the test run that it has inherited."""
    code = 1
    try:
        for fd, place in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(fd, place)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        sys.argv = ["vxlab", *arguments]
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
