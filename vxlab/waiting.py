"""Waiting for a condition, never for a time; all budgets stand in one table."""

from __future__ import annotations

import time
from collections.abc import Callable

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
    "lab ends": 10.0,
    "captured": 5.0,
}

_POLL_S = 0.02


def await_condition(unmet: Callable[[], str | None], budget: str) -> None:
    """Poll until `unmet` answers None; else raise LabError with its last answer.

    unmet: says in a few words what is still missing, None when nothing is.
    budget: a row of BUDGET_S, named in the error.
    """
    deadline = time.monotonic() + BUDGET_S[budget]
    while (missing := unmet()) is not None:
        if time.monotonic() > deadline:
            raise LabError(f"{budget}: not within {BUDGET_S[budget]:.0f} s: {missing}")
        time.sleep(_POLL_S)
