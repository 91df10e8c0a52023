"""What can go wrong in a lab, as one family: each message names cause and cure in a line."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what was asked of it (exit status 1)."""


class UsageError(LabError):
    """The operator asked for something that cannot be (exit status 2)."""
