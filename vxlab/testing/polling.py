"""Waiting in tests: poll a condition, never sleep for a guessed time."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.05


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
        time.sleep(POLL_S)


def until_unchanged(sample: Callable[[], int], samples: int, within: float) -> None:
    """Wait until `sample` gives the same value `samples` times in a row; AssertionError else."""
    deadline = time.monotonic() + within
    value, equal = sample(), 1
    while equal < samples:
        assert time.monotonic() < deadline, f"still changing after {within:g} s"
        time.sleep(POLL_S)
        latest = sample()
        value, equal = latest, equal + 1 if latest == value else 1
