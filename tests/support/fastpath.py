"""Whether this machine lets us forward in the kernel; tried by loading the program, not guessed."""

from __future__ import annotations

import pytest

from vtep.fastpath.choice import trial

_LACKING = trial()
needs_kernel_data_path = pytest.mark.skipif(
    _LACKING is not None, reason=f"no kernel data path here: {_LACKING}"
)
