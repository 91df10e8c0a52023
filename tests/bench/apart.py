"""Run a function in a sandbox of its own and return its result, which is passed as JSON."""

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
    """The result of body(directory), run in a new sandbox; LabError if it ends without a result.

    quiet: do not show its output; an error still includes it.
    """
    with tempfile.TemporaryDirectory(prefix="vxlab-bench-") as name:
        directory = Path(name)
        result, log = directory / "result", directory / "log"
        log.touch()

        def main() -> int:
            result.write_text(json.dumps(body(directory)))
            return 0

        keeper, _ = sandbox.start(main, directory, detached=False, log=log if quiet else None)
        os.waitpid(keeper, 0)
        if not result.exists():
            raise LabError(f"the bench's sandbox ended without a result: {log.read_text()[-1000:]}")
        return json.loads(result.read_text())
