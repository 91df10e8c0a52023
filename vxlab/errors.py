"""The errors of a lab, as one family: each message is one line that names the cause and the fix."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what it was asked to do (exit status 1)."""


class UsageError(LabError):
    """A command line, a setting or a topology is invalid (exit status 2)."""
