"""Waiting for a condition or with a limit, never for a time; all budgets are in one table."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from vxlab.errors import LabError

BUDGET_S = {
    "controller listens": 20.0,
    "agents ready": 60.0,
    "switches connected": 30.0,
    "groups joined and snooped": 60.0,
    "group of a new VNI snooped": 8.0,
    "fork server ready": 30.0,
    "addresses learned": 15.0,
    "socket answers": 10.0,
    "process ends": 10.0,
    "lab ends": 10.0,
    "captured": 5.0,
    "bring-up step": 90.0,  # any step, whatever it waits for
    "bring-up step, for each node": 1.0,
}

_POLL_S = 0.02


def await_condition(unmet: Callable[[], str | None], budget: str) -> None:
    """Poll until `unmet` returns None; LabError with its last answer when the budget is spent.

    unmet: returns in a few words what is still missing, None when nothing is.
    budget: a row of BUDGET_S, named in the error.
    """
    deadline = time.monotonic() + BUDGET_S[budget]
    while (missing := unmet()) is not None:
        if time.monotonic() > deadline:
            raise LabError(f"{budget}: not within {BUDGET_S[budget]:.0f} s: {missing}")
        time.sleep(_POLL_S)


@contextlib.contextmanager
def time_limit(seconds: float, what: str, hint: str = "") -> Iterator[None]:
    """Raise LabError in the block after `seconds`, wherever it waits; main thread only.

    what: the subject of the error, such as "the step 'start switches'". hint: its end, such as
    " (log: FILE)".
    """

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise LabError(f"{what} did not end within {seconds:.0f} s{hint}")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
