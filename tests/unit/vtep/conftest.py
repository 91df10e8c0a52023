"""Property tests must not fail because a machine is slow."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("vtep", deadline=None)
settings.load_profile("vtep")
