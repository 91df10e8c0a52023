"""The project's own VTEP agent as a kind. The agent itself is the package `vtep`."""

from __future__ import annotations

from vxlab.vteps.kind import VtepKind

KIND = VtepKind("python", "vtep", "this project's agent", forkable=True)
