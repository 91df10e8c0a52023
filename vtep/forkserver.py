"""Import once, then fork an agent for each request.

Importing Scapy takes most of an agent's start time and memory; forked agents share it. Each request
is one line, `{"do": "spawn", "config": FILE, "netns": FILE, "log": FILE}`; the answer has the
agent's pid. The agents keep running when this process ends.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from vtep.launch import launch
from vtep.log import log

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_ENDS_WITHIN_S = 5.0

_agents: dict[str, int] = {}  # configuration -> pid of its latest agent


def enter_network(path: str) -> None:
    """Enter a network namespace by its file; os.setns exists only in Python 3.12 and later."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)


def spawn(request: dict[str, Any]) -> int:
    """Fork an agent; returns its pid."""
    await_end(_agents.get(request["config"]))
    pid = os.fork()
    if pid:
        _agents[request["config"]] = pid
        return pid
    status = 1
    try:
        status = _become_agent(request)
    except BaseException:  # the child must never continue as a second fork server
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def await_end(pid: int | None) -> None:
    """Wait until an earlier agent has ended: a killed one holds its UDP port a moment longer."""
    if pid is None:
        return
    try:
        ending = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([ending], [], [], _ENDS_WITHIN_S)
    os.close(ending)


def _become_agent(request: dict[str, Any]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 1024)  # also closes the fork server's own sockets
    enter_network(request["netns"])
    ctypes.CDLL(None).prctl(_PR_SET_NAME, f"vtep-{Path(request['config']).stem}".encode())
    return launch(request["config"])


def _answer(line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if request["do"] != "spawn":
            raise KeyError("do")
        for key in ("config", "netns", "log"):
            if not isinstance(request[key], str):
                raise KeyError(key)
    except (ValueError, KeyError, TypeError) as error:
        return {
            "ok": False,
            "error": f"{error}: the request must be spawn with config, netns and log",
        }
    return {"ok": True, "result": {"pid": spawn(request)}}


def serve(path: Path) -> None:
    """Answer requests until the process is terminated."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    listener.bind(str(path))
    os.umask(mask)
    listener.listen(256)
    while True:
        peer, _ = listener.accept()
        with peer, peer.makefile("rw", encoding="utf-8") as lines:
            try:
                for line in lines:
                    lines.write(json.dumps(_answer(line)) + "\n")
                    lines.flush()
            except OSError:
                continue  # the client has closed the connection


def _reap(*_: object) -> None:
    """Log how agents end: a crashed agent must not look like a silent network."""
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            log(f"agent {pid} ended with {os.waitstatus_to_exitcode(status)}")
    except ChildProcessError:
        return


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m vtep.forkserver", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, metavar="PATH")
    path = parser.parse_args().socket
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()  # the collector would write to, and so unshare, memory shared with the children
    serve(path)


if __name__ == "__main__":
    main()
