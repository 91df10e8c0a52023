"""Waiting with a limit."""

from __future__ import annotations

import signal
import threading

import pytest

from vxlab.errors import LabError
from vxlab.waiting import BUDGET_S, await_condition, time_limit


def test_a_condition_that_stays_unmet_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGET_S, "captured", 0.05)
    with pytest.raises(LabError, match=r"captured: not within 0 s: the packet is missing"):
        await_condition(lambda: "the packet is missing", "captured")


def test_a_condition_is_polled_until_it_holds() -> None:
    answers = ["not yet", "not yet", None]
    await_condition(lambda: answers.pop(0), "captured")
    assert answers == []


def test_a_time_limit_interrupts_what_waits_for_ever() -> None:
    with (
        pytest.raises(LabError, match=r"the step 'x' did not end within 0 s"),
        time_limit(0.05, "the step 'x'"),
    ):
        threading.Event().wait()


def test_a_time_limit_ends_with_its_block() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(30, "the step 'x'"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) is before
