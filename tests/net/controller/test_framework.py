"""A real controller selects its framework: Ryu if it works, os-ken otherwise, or an error.

A directory that comes first in the module search path simulates missing and broken frameworks.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.ovs_sandbox import OvsSandbox

BROKEN = {
    "too old": {"__init__.py": "raise AttributeError('no attribute wrap_socket')\n"},
    "module missing": {"__init__.py": "", "base.py": "import distutils_that_is_gone\n"},
}

# Python imports `sitecustomize` at its start; this one hides packages from the path finder.
HIDE = """
import importlib.machinery as machinery
finder = machinery.PathFinder
original = finder.find_spec
def find_spec(name, path=None, target=None):
    return None if name in {names!r} else original(name, path, target)
finder.find_spec = find_spec
"""


def hide(directory: Path, *packages: str) -> None:
    """Make packages unimportable for a Python with this directory in its search path."""
    (directory / "sitecustomize.py").write_text(HIDE.replace("{names!r}", repr(packages)))


def shadow(directory: Path, package: str, how: str) -> None:
    """Put a package that fails when it is imported into a directory of the search path."""
    folder = directory / package
    folder.mkdir(parents=True)
    for name, source in BROKEN[how].items():
        (folder / name).write_text(source)


def group_data_passes(sandbox: OvsSandbox) -> None:
    """A member joins, is snooped, and receives a datagram."""
    group = "239.1.1.10"
    sandbox.add_switch("s1", 1)
    h1, h2 = (sandbox.add_host(f"h{n}", "s1", f"192.0.2.1{n}") for n in (1, 2))
    sandbox.await_ready()
    h2.join(group)
    sandbox.await_members(group, {1: {"p-h2"}})
    h1.send(group, 0)
    h2.await_received([0])
    h1.ping(h2)


def test_ryu_is_selected_where_it_can_be_imported() -> None:
    with OvsSandbox() as sandbox:
        sandbox.start_controller(None)
        sandbox.await_listening()
        ready = sandbox.ask("ready")
        assert (ready["framework"], ready["framework_version"]) == ("ryu", version("ryu"))


@pytest.mark.parametrize("how", ["missing", *BROKEN])
def test_os_ken_is_selected_where_ryu_cannot_be_imported(tmp_path: Path, how: str) -> None:
    if how == "missing":
        hide(tmp_path, "ryu", "eventlet")  # os-ken alone does not install eventlet
    else:
        shadow(tmp_path, "ryu", how)
    with OvsSandbox() as sandbox:
        sandbox.set_environment("PYTHONPATH", str(tmp_path))
        sandbox.start_controller(None)
        sandbox.await_listening()
        ready = sandbox.ask("ready")
        assert (ready["framework"], ready["framework_version"]) == ("os-ken", version("os-ken"))
        group_data_passes(sandbox)
        log = sandbox.log_tail()
        assert f"framework os-ken {version('os-ken')}" in log and "Traceback" not in log
        assert ("ryu is installed but cannot be imported" in log) is (how != "missing")


@pytest.mark.parametrize(
    ("packages", "requested", "expected"),
    [
        (["ryu", "os_ken"], None, "install one with: pip install os-ken"),
        (["os_ken"], "os-ken", "install it with: pip install os-ken"),
        (["ryu"], "ryu", "install it with: make setup"),
    ],
)
def test_a_missing_framework_is_an_error_of_one_line(
    tmp_path: Path, packages: list[str], requested: str | None, expected: str
) -> None:
    hide(tmp_path, *packages)
    with OvsSandbox() as sandbox:
        sandbox.set_environment("PYTHONPATH", str(tmp_path))
        sandbox.set_environment("VXLAB_CONTROLLER_FRAMEWORK", requested or "")
        sandbox.start_controller(None)
        assert sandbox.controller is not None
        assert sandbox.controller.wait(timeout=10) == 2
        lines = sandbox.log_tail().splitlines()
        assert len(lines) == 1 and lines[0].startswith("controller: ") and expected in lines[0]
