"""A pytest plugin that turns every skipped test into a failure: `pytest -p tests.support.no_skips`.

For runs on a machine that is known to have everything the tests need, such as the guest of
`make vm-check`. There a skip means that something is missing or broken.
"""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    """Report a skipped test as failed, with the reason of the skip."""
    return _refused((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    """The same for a whole module that skips itself while it is collected."""
    return _refused((yield))


def _refused(report: Any) -> Any:
    """An expected failure (xfail) has the outcome "skipped" too; it is left alone."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return report
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"skips are failures in this run (tests.support.no_skips): {reason}"
    return report
