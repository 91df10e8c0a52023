"""The project's own files, as listed by git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def project_files(*patterns: str) -> Iterator[Path]:
    """Files that are committed or could be, relative to the checkout; no ignored files."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    done = subprocess.run(listing, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for name in sorted(set(filter(None, done.stdout.split("\0")))):
        if (CHECKOUT / name).is_file():
            yield Path(name)
