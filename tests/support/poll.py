"""Wait for a condition; the only place in the tests that may sleep."""

from __future__ import annotations

import time

from vxlab.testing.polling import eventually

__all__ = ["eventually", "pause"]


def pause(seconds: float) -> None:
    """Let time pass between the samples of a measurement; never to wait for something."""
    time.sleep(seconds)
