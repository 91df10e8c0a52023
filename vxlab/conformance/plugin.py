"""The suite as a pytest plugin: `pytest --vtep-cmd 'CMD'` has a test for each row.

Anybody's VTEP is brought by a command that is run as `CMD --config FILE.toml`. Without these
options nothing is collected, and nothing is imported.
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
    group.addoption("--vtep", metavar="KIND", help="judge a kind of the project's: python, ...")
    group.addoption("--vtep-no-multicast", action="store_true", help="it floods to lists only")
    group.addoption("--vtep-no-trunk", action="store_true", help="it has a port a segment")
    group.addoption("--vtep-only", metavar="ROW", action="append", help="these rows alone")


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where a VTEP is named."""
    if config.getoption("--vtep-cmd") or config.getoption("--vtep"):
        config.pluginmanager.register(_suite(config), "vxlab-conformance-suite")


def _suite(config: pytest.Config) -> _Suite:
    # lazy: the errors of a test run that judges no VTEP are none of ours
    from vxlab.errors import UsageError

    try:
        suite = _Suite(config)
        suite.rows()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return suite


class _Suite:
    """Collects a test for each row, and keeps the bench for all of them."""

    def __init__(self, config: pytest.Config) -> None:
        # lazy: a test run that judges no VTEP does without Scapy
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
        """Add the rows to whatever else is collected, so that -k and the like choose among them."""
        name = f"vtep[{self.candidate.name}]"
        items.extend(_Rows.from_parent(session, name=name, suite=self).collect())

    def rows(self) -> list[Row]:
        """The rows that were asked for, those of one configuration together."""
        # lazy: as above
        from vxlab.conformance.catalogue import rows_of

        rows = rows_of(self._only)
        setups = list(dict.fromkeys(row.setup.name for row in rows))
        return sorted(rows, key=lambda row: setups.index(row.setup.name))

    def bench(self) -> Session:
        """The bench, started when the first row needs it."""
        # lazy: as above
        from vxlab.conformance.session import session

        if self.session is None:
            self._opened = session(self.candidate)
            self.session = self._opened.__enter__()
        return self.session

    def pytest_sessionfinish(self) -> None:
        """End the bench."""
        if self._opened is not None:
            self._opened.__exit__(None, None, None)
            self._opened = self.session = None


class _Rows(pytest.Collector):
    """All rows of the suite."""

    def __init__(self, *, suite: _Suite, **rest: Any) -> None:
        super().__init__(**rest)
        self.suite = suite

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each."""
        for row in self.suite.rows():
            yield _RowItem.from_parent(self, name=row.id, row=row, suite=self.suite)


class _Deviates(Exception):
    """A row that binds the VTEP does not hold."""


class _RowItem(pytest.Item):
    """One row: passes, fails with the packets that show it, or is skipped with the reason."""

    def __init__(self, *, row: Row, suite: _Suite, **rest: Any) -> None:
        super().__init__(**rest)
        self.row = row
        self._suite = suite
        self.user_properties += [(name, getattr(row, name)) for name in _PROPERTIES]

    def runtest(self) -> None:
        """Judge it."""
        # lazy: as above
        from vxlab.conformance.report import evidence
        from vxlab.conformance.verdict import Verdict

        each = self._suite.bench().judge(self.row)
        verdict, text = each.finding.verdict, each.finding.text
        self.user_properties.append(("verdict", verdict.value))
        if verdict is Verdict.UNOBSERVABLE:
            pytest.skip(f"cannot be observed: {text}")
        if verdict is Verdict.DEVIATES:
            words = "\n".join([text, *evidence(each)])
            if not self.row.binding:
                pytest.xfail(f"deviates, though nothing binds it: {text}")
            raise _Deviates(words)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """What was found, without a traceback."""
        head = f"{self.row.id}, section {self.row.section}, {self.row.kind}: {self.row.statement}"
        return f"{head}\n{excinfo.value}"

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """How the row stands in pytest's lines."""
        name = self._suite.candidate.name
        return f"vtep[{name}]", None, f"{self.row.id} {self.row.statement}"
