"""The agent's log: lines on standard error."""

from __future__ import annotations

import sys


def log(text: str) -> None:
    """Write one line."""
    print(f"vtep: {text}", file=sys.stderr, flush=True)
