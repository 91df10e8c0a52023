"""Errors that prevent an agent from starting."""

from __future__ import annotations


class StartError(Exception):
    """The machine prevents something that the configuration requires (exit status 1).

    The message is one line that names the cause and, if there is one, the fix.
    """
