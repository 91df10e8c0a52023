"""A mark for tests that need the eBPF data path. It is decided by loading the programs."""

from __future__ import annotations

import pytest

from vtep.fastpath.choice import trial

_LACKING = trial()
needs_kernel_data_path = pytest.mark.skipif(
    bool(_LACKING), reason=f"no eBPF data path here: {' '.join(_LACKING[:1])}"
)
