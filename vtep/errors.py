"""What stops an agent, in one line that names cause and cure."""

from __future__ import annotations


class StartError(Exception):
    """The machine does not let the agent do what it was told (exit status 1)."""
