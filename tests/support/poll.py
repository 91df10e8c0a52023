"""Await a condition; the only place in the tests that may sleep."""

from __future__ import annotations

import time
from collections.abc import Callable

_POLL_S = 0.05


def eventually(check: Callable[[], object], within: float = 10.0) -> None:
    """Call `check` until it raises no AssertionError; after `within` seconds raise its last one."""
    deadline = time.monotonic() + within
    while True:
        try:
            check()
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def pause(seconds: float) -> None:
    """Let time pass between the samples of a measurement; never to wait for something."""
    time.sleep(seconds)
