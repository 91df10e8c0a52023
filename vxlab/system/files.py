"""Files that a user names on the command line."""

from __future__ import annotations

from pathlib import Path

from vxlab.errors import UsageError

STANDARD_OUTPUT = "-"


def check_writable(*names: str | None) -> None:
    """UsageError for a file that cannot be written, so that a long run does not fail at its end.

    None and "-" (standard output) pass. A file that does not exist is created, empty.
    """
    for name in names:
        if name is not None and name != STANDARD_OUTPUT:
            try:
                Path(name).open("ab").close()
            except OSError as error:
                raise UsageError(f"{name}: cannot be written: {error.strerror}") from None
