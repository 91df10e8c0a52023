"""The pytest plugin: the fixture `lab`, the marker `vxlab`, and what failed tests leave.

    pytestmark = pytest.mark.vxlab("mine.py", ageing=10)

    def test_ping(lab):
        lab.ping("A", "B")

pytest loads this file in every run, so it imports nothing of the laboratory until a test uses the
fixture. The guide is docs/guides/testing.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vxlab.testing.lab import RunningLab

MARKER = (
    "vxlab(topology, *settings, name=None, **options): the lab of the fixture `lab`: a topology "
    "file relative to the test file, or a name of `vxlab list`; settings are KEY=VALUE, as for "
    "`vxlab up --set`; name is the start of the lab's name"
)
ARTEFACTS = "vxlab-artefacts"
_DIRECTORY = pytest.StashKey[Path]()
_KEPT = pytest.StashKey[list[str]]()
_SPECS = pytest.StashKey["dict[LabSpec, LabSpec]"]()


@dataclass(frozen=True)
class LabSpec:
    """What a marker asks for."""

    topology: str
    settings: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return "-".join([Path(self.topology).stem, *self.settings])


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the fixture `lab`."""
    group = parser.getgroup("vxlab", "VXLAN labs")
    group.addoption(
        "--vxlab-artefacts",
        metavar="DIR",
        help=f"where failed tests leave logs, tables, flows and packets (default: {ARTEFACTS})",
    )
    group.addoption(
        "--vxlab-cli-on-error", action="store_true", help="open the lab's CLI when a test fails"
    )
    group.addoption(
        "--vxlab-keep", action="store_true", help="leave labs up after the tests that used them"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; relative artefact directories are relative to the root directory."""
    config.addinivalue_line("markers", MARKER)
    chosen = config.getoption("--vxlab-artefacts") or ARTEFACTS
    config.stash[_DIRECTORY] = config.rootpath / chosen
    config.stash[_SPECS] = {}
    config.stash[_KEPT] = []


# -- the fixture


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests that use `lab` the lab of their closest marker.

    Tests with equal markers share one specification and therefore one lab of the module.
    """
    marker = metafunc.definition.get_closest_marker("vxlab")
    if marker is None or "lab" not in metafunc.fixturenames:
        return
    spec = _spec(marker, metafunc.definition.path.parent)
    specs = metafunc.config.stash[_SPECS]
    hidden = getattr(pytest, "HIDDEN_PARAM", None)  # since pytest 8.4
    ids = [str(spec) if hidden is None else hidden]
    metafunc.parametrize("lab", [specs.setdefault(spec, spec)], indirect=True, ids=ids)


def _spec(marker: pytest.Mark, folder: Path) -> LabSpec:
    options = dict(marker.kwargs)
    name = options.pop("name", None)
    topology = options.pop("topology", None)
    settings = list(marker.args)
    if topology is None:
        if not settings:
            raise pytest.UsageError("pytest.mark.vxlab: the topology is missing: vxlab('mine.py')")
        topology = settings.pop(0)
    topology = str(topology)
    if topology.endswith(".py"):
        topology = str(folder / topology)
    settings += [f"{key}={_text(value)}" for key, value in options.items()]
    return LabSpec(topology, tuple(map(str, settings)), name or Path(topology).stem)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """A running lab, shared by the tests of a module that have the same `vxlab` marker."""
    # lazy: test runs that use no lab do not import the laboratory
    from vxlab.testing.lab import running_lab, unique_name

    spec = getattr(request, "param", None)
    if spec is None:
        pytest.fail(
            "the fixture `lab` needs a marker that names the topology: "
            "pytestmark = pytest.mark.vxlab('mine.py')",
            pytrace=False,
        )
    keep = request.config.getoption("--vxlab-keep")
    name = unique_name(spec.name)
    with running_lab(spec.topology, *spec.settings, name=name, keep=keep) as running:
        running.watch()
        yield running
    if keep:
        request.config.stash[_KEPT].append(name)


# -- failures


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the evidence of a failed test while its labs are up, and open their CLI if asked to."""
    report = yield
    if report.failed and _uses_labs():
        _keep_evidence(item, call, report)
        if item.config.getoption("--vxlab-cli-on-error") and call.when != "teardown":
            _open_clis(item)
    return report


def _uses_labs() -> bool:
    """Whether this run has ever used a lab; otherwise nothing is imported."""
    return "vxlab.testing.lab" in sys.modules


def _keep_evidence(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> None:
    # lazy: only failed tests need it
    from vxlab.testing.evidence import keep, keep_failed_start
    from vxlab.testing.lab import StartFailed, running

    folder = item.config.stash[_DIRECTORY] / re.sub(r"[^\w.-]+", "_", item.nodeid)
    kept = []
    for lab in running():
        keep(lab, folder / lab.name)
        kept.append(lab.name)
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, StartFailed) and error.logs:
        keep_failed_start(error, folder / "failed-start")
        kept.append("failed-start")
    if kept:
        report.sections.append(("vxlab artefacts", f"{', '.join(kept)} in {folder}"))


def _open_clis(item: pytest.Item) -> None:
    # lazy: only with --vxlab-cli-on-error
    from vxlab.testing.commands import VXLAB
    from vxlab.testing.lab import running

    capture = item.config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend(in_=True)
    try:
        for lab in running():
            print(f"\n{item.nodeid} failed; the CLI of lab {lab.name} (`exit` continues):")
            subprocess.run([*VXLAB, "cli", lab.name])
    finally:
        if capture is not None:
            capture.resume()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the labs that --vxlab-keep has left up."""
    for name in config.stash[_KEPT]:
        terminalreporter.write_line(f"lab {name} is still up; `vxlab down {name}` ends it")
