"""`vxlab` in a fork of this process: the very command, without the time Python takes to start.

For commands that ask a lab or run something in it. What starts or ends a lab is better a process
of its own, which inherits nothing of ours.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from vxlab.cli.main import main

CHECKOUT = Path(__file__).resolve().parents[2]


def vxlab_forked(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run `vxlab`, whatever its exit status; TimeoutExpired as subprocess.run has it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become_vxlab(arguments, out.fileno(), err.fileno())
        status = _end_of(child, timeout)
        said, complained = (_text(file.fileno()) for file in (out, err))
    if status is None:
        raise subprocess.TimeoutExpired(["vxlab", *arguments], timeout, said, complained)
    return subprocess.CompletedProcess(["vxlab", *arguments], status, said, complained)


def _text(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode()


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
    """The forked child: everything of the test run that it has inherited is left alone."""
    code = 1
    try:
        for fd, place in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(fd, place)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        sys.argv = ["vxlab", *arguments]
        os.chdir(CHECKOUT)
        main()
    except SystemExit as end:
        code = int(end.code or 0)  # type: ignore[arg-type]
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
