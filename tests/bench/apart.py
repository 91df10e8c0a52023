"""Bodies of work in a sandbox of their own, whose answer comes back as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vxlab.errors import LabError
from vxlab.system import sandbox


def in_sandbox(body: Callable[[Path], Any], quiet: bool = False) -> Any:
    """What a body answers that may use a directory; LabError where it did not come to an answer.

    quiet: what it prints is kept for the error, not shown.
    """
    with tempfile.TemporaryDirectory(prefix="vxlab-bench-") as name:
        directory = Path(name)
        said, log = directory / "said", directory / "log"
        log.touch()

        def main() -> int:
            said.write_text(json.dumps(body(directory)))
            return 0

        keeper, _ = sandbox.start(main, directory, detached=False, log=log if quiet else None)
        os.waitpid(keeper, 0)
        if not said.exists():
            raise LabError(f"the bench's sandbox ended before its time {log.read_text()[-1000:]}")
        return json.loads(said.read_text())
