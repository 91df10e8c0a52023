"""`pip install` of the checkout into another environment: everything works from any directory."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT
from tests.support.users import as_nobody, give_to_nobody, needs_root

GUIDE = (CHECKOUT / "docs" / "guides" / "testing.md").read_text()
TOPOLOGY, EXAMPLE, _ = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def ok(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def with_our_libraries(venv: Path) -> None:
    """Install the checkout without network: its dependencies are those of this environment."""
    ok(sys.executable, "-m", "venv", "--without-pip", venv)
    own = ok(venv / "bin" / "python", "-c", "import site; print(site.getsitepackages()[0])")
    # Only the path: the editable installation of this environment is not active there.
    (Path(own.strip()) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    ok(*pip, "install", "--no-deps", "--no-index", "--no-build-isolation", CHECKOUT)


def with_pip(venv: Path) -> None:
    """Install the checkout as a user does; pip downloads the dependencies."""
    ok("/usr/bin/python3", "-m", "venv", venv)
    ok(venv / "bin" / "pip", "install", CHECKOUT)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(with_our_libraries, id="our libraries"),
        pytest.param(with_pip, id="pip", marks=pytest.mark.slow),
    ],
)
def binaries(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The `bin` directory of an environment in which the checkout was installed."""
    folder = Path(tempfile.mkdtemp(prefix="vxlab-venv-"))
    folder.chmod(0o755)
    before = set(os.listdir(CHECKOUT))
    request.param(folder / "v")
    assert set(os.listdir(CHECKOUT)) == before
    yield folder / "v" / "bin"
    shutil.rmtree(folder)


@pytest.fixture
def repository() -> Iterator[Path]:
    """A directory with the guide's example, and with a package with the name of one of ours."""
    folder = Path(tempfile.mkdtemp(prefix="vxlab-repository-"))
    folder.chmod(0o755)
    (folder / "mine.py").write_text(TOPOLOGY)
    (folder / "test_mine.py").write_text(EXAMPLE)
    (folder / "controller").mkdir()
    (folder / "controller" / "__init__.py").write_text("raise ImportError('not ours')\n")
    yield folder
    shutil.rmtree(folder)


def test_the_installed_files_are_used(binaries: Path, tmp_path: Path) -> None:
    print_places = "import vxlab, vtep, topologies; print(vxlab.__file__, vtep.__file__)"
    places = ok(binaries / "python", "-c", print_places, cwd=tmp_path)
    assert places.count(str(binaries.parent)) == 2
    assert "three_vteps" in ok(binaries / "vxlab", "list", cwd=tmp_path)


def test_the_doctor_finds_everything_that_is_needed(binaries: Path, tmp_path: Path) -> None:
    checks = json.loads(ok(binaries / "vxlab", "doctor", "--json", cwd=tmp_path))
    assert [check for check in checks if check["needed"] and not check["ok"]] == []
    (program,) = [check for check in checks if check["name"] == "eBPF data path"]
    assert "not compiled" not in program["detail"]


SCRIPT = (
    "{bin}/vxlab up three_vteps -d && {bin}/vxlab exec A -- ping -c1 -W2 10.0.0.2 && "
    "{bin}/vxlab down && {bin}/vxlab demo && {bin}/vxlab conformance --only N1 && "
    "{bin}/python -m pytest -q -p no:cacheprovider --vxlab-artefacts {base}/artefacts"
)


def assert_all_worked(output: str) -> None:
    assert "All eight steps were verified." in output
    assert "2 conforms" in output
    assert "3 passed" in output


def test_labs_and_tests_run_from_any_directory(
    binaries: Path, repository: Path, tmp_path: Path
) -> None:
    script = SCRIPT.format(bin=binaries, base=tmp_path)
    assert_all_worked(ok("sh", "-c", script, cwd=repository))


@needs_root
def test_they_run_for_an_ordinary_user(binaries: Path, repository: Path) -> None:
    base = Path(tempfile.mkdtemp(prefix="vxlab-labs-"))
    give_to_nobody(base)
    script = SCRIPT.format(bin=binaries, base=base)
    done = as_nobody(script, base, cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_all_worked(done.stdout)
    shutil.rmtree(base)
