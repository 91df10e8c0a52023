"""The suite judges a VTEP without a lab: it does not use Mininet, directly or indirectly."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import vxlab.conformance
from tests.support.labs import CHECKOUT


def test_the_suite_does_not_import_mininet() -> None:
    modules = [
        module.name
        for module in pkgutil.walk_packages(vxlab.conformance.__path__, "vxlab.conformance.")
    ]
    assert "vxlab.conformance.testbed" in modules
    code = f"import sys; sys.modules['mininet'] = None; import {', '.join(modules)}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr
