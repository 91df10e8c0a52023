"""A VTEP that only decapsulates: it behaves like one that ignores the key `group`.

`python -m tests.support.deaf_vtep --config FILE.toml`
"""

from __future__ import annotations

import sys
from typing import Any

from vtep.core import Core
from vtep.effects import Decision
from vtep.launch import launch


def no_effects(*_arguments: Any) -> Decision:
    """The core's decision on a frame that is not sent: no effects, no events."""
    return (), ()


if __name__ == "__main__":
    setattr(Core, "frame_from_port", no_effects)  # noqa: B010
    sys.exit(launch(sys.argv[sys.argv.index("--config") + 1], "python"))
