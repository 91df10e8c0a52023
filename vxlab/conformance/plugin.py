"""The suite as a pytest plugin: `pytest --vtep-cmd 'CMD'` has a test for each row.

The command starts any VTEP as `CMD --config FILE.toml`. Without `--vtep-cmd` and `--vtep` the
plugin collects and imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vxlab.conformance.catalogue import Row
    from vxlab.conformance.session import Session

_PROPERTIES = ("section", "kind", "statement")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the suite."""
    group = parser.getgroup("vxlab", "conformance of a VTEP to RFC 7348")
    group.addoption("--vtep-cmd", metavar="CMD", help="judge the VTEP started by this command")
    group.addoption("--vtep", metavar="KIND", help="judge a known kind of VTEP: python, ...")
    group.addoption(
        "--vtep-no-multicast",
        action="store_true",
        help="with --vtep-cmd: flood by head-end replication",
    )
    group.addoption(
        "--vtep-no-trunk", action="store_true", help="with --vtep-cmd: an untagged port per VNI"
    )
    group.addoption(
        "--vtep-only", metavar="ROW,...", action="append", help="only these rows, such as N8,N14"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the suite only if a VTEP is named."""
    if config.getoption("--vtep-cmd") or config.getoption("--vtep"):
        config.pluginmanager.register(_suite(config), "vxlab-conformance-suite")


def _suite(config: pytest.Config) -> _Suite:
    # lazy: a test run that judges no VTEP needs none of this
    from vxlab.errors import UsageError

    try:
        suite = _Suite(config)
        suite.rows()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return suite


class _Suite:
    """Collects a test for each row, and keeps the test bed for all of them."""

    def __init__(self, config: pytest.Config) -> None:
        # lazy: a test run that judges no VTEP does not need Scapy
        from vxlab.conformance import candidate

        command = config.getoption("--vtep-cmd")
        if command:
            multicast = not config.getoption("--vtep-no-multicast")
            trunk = not config.getoption("--vtep-no-trunk")
            self.candidate = candidate.of_command(command, multicast, trunk)
        else:
            self.candidate = candidate.of_kind(config.getoption("--vtep"))
        self._only = tuple(config.getoption("--vtep-only") or ())
        self._opened: Any = None
        self.session: Session | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add the rows to the collected tests, so that options such as -k apply to them."""
        name = f"vtep[{self.candidate.name}]"
        items.extend(_Rows.from_parent(session, name=name, suite=self).collect())

    def rows(self) -> list[Row]:
        """The chosen rows; those of one configuration follow each other."""
        # lazy: as above
        from vxlab.conformance.catalogue import rows_of

        rows = rows_of(self._only)
        setups = list(dict.fromkeys(row.setup.name for row in rows))
        return sorted(rows, key=lambda row: setups.index(row.setup.name))

    def testbed(self) -> Session:
        """The session, started when the first row needs it."""
        # lazy: as above
        from vxlab.conformance.session import session

        if self.session is None:
            self._opened = session(self.candidate)
            self.session = self._opened.__enter__()
        return self.session

    def pytest_sessionfinish(self) -> None:
        """End the session."""
        if self._opened is not None:
            self._opened.__exit__(None, None, None)
            self._opened = self.session = None


class _Rows(pytest.Collector):
    """All rows of the suite."""

    def __init__(self, *, suite: _Suite, **rest: Any) -> None:
        super().__init__(**rest)
        self.suite = suite

    def collect(self) -> Iterator[pytest.Item]:
        """A test for each row."""
        for row in self.suite.rows():
            yield _RowItem.from_parent(self, name=row.id, row=row, suite=self.suite)


class _Deviates(Exception):
    """The VTEP deviates from a binding row."""


class _RowItem(pytest.Item):
    """One row: passes, fails with the packets that show it, or is skipped with the reason."""

    def __init__(self, *, row: Row, suite: _Suite, **rest: Any) -> None:
        super().__init__(**rest)
        self.row = row
        self._suite = suite
        self.user_properties += [(name, getattr(row, name)) for name in _PROPERTIES]

    def runtest(self) -> None:
        """Judge the row."""
        # lazy: as above
        from vxlab.conformance.report import evidence
        from vxlab.conformance.verdict import Verdict

        each = self._suite.testbed().judge(self.row)
        verdict, text = each.finding.verdict, each.finding.text
        self.user_properties.append(("verdict", verdict.value))
        if verdict is Verdict.UNOBSERVABLE:
            pytest.skip(f"cannot be observed: {text}")
        if verdict is Verdict.DEVIATES:
            report = "\n".join([text, *evidence(each)])
            if not self.row.binding:
                pytest.xfail(f"deviates from a row that is not binding: {text}")
            raise _Deviates(report)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The finding, without a traceback."""
        head = f"{self.row.id}, section {self.row.section}, {self.row.kind}: {self.row.statement}"
        return f"{head}\n{excinfo.value}"

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """The row's name in pytest's output."""
        name = self._suite.candidate.name
        return f"vtep[{name}]", None, f"{self.row.id} {self.row.statement}"
