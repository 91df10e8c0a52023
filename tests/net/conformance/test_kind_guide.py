"""These tests follow docs/guides/vtep-kinds.md, with the code in the guide."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.labs import CHECKOUT

GUIDE = (CHECKOUT / "docs" / "guides" / "vtep-kinds.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
(ENTRY_POINT,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = [line.strip() for line in re.findall(r"^    (vxlab .*)$", GUIDE, re.MULTILINE)]
PACKAGES = ("vtep", "controller", "vxlab", "topologies")
ROWS = ("N1", "N4", "N19", "N20", "N22", "N24", "N43.trusted")
ONLY = [argument for row in ROWS for argument in ("--only", row)]


def vxlab_in(
    directory: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `vxlab` in a directory, whose modules come first in the search path."""
    return subprocess.run(
        [sys.executable, "-m", "vxlab", *arguments],
        capture_output=True, text=True, timeout=120, cwd=directory,
        env={**os.environ, **environment},
    )  # fmt: skip


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Row -> its JSON object."""
    assert done.stdout, done.stderr
    (report,) = json.loads(done.stdout)
    return {row["id"]: row for row in report["rows"]}


def assert_hub(done: subprocess.CompletedProcess[str]) -> None:
    """The suite's verdicts on the example are those that the guide states."""
    rows = verdicts(done)
    conforming = ("N1", "N19", "N20", "N22", "N24")
    assert {row: rows[row]["verdict"] for row in conforming} == dict.fromkeys(
        conforming, "conforms"
    )
    assert rows["N4"]["verdict"] == "deviates"
    assert rows["N43.trusted"]["verdict"] == "cannot be observed"
    assert "underlay.trusted" in rows["N43.trusted"]["text"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the guide's one file."""
    copy = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / package, copy / package, ignore=ignored)
    (copy / ".venv").symlink_to(sys.prefix)
    (copy / "vxlab" / "vteps" / "hub.py").write_text(CODE)
    return copy


def test_the_suite_judges_a_kind_added_by_one_file(checkout: Path) -> None:
    assert "vxlab conformance --vtep hub" in COMMANDS
    assert_hub(vxlab_in(checkout, "conformance", "--vtep", "hub", "--json", *ONLY))


def test_a_lab_runs_with_a_kind_added_by_one_file(checkout: Path) -> None:
    (up,) = [command for command in COMMANDS if "vtep=hub" in command]
    name = "t-hub"
    done = vxlab_in(checkout, *shlex.split(up)[1:], "-d", "--name", name)
    try:
        assert done.returncode == 0, done.stderr
        ping = ("ping", "-c2", "-W2", "10.0.0.2")
        done = vxlab_in(checkout, "exec", "--lab", name, "A", "--", *ping)
        assert done.returncode == 0, done.stdout + done.stderr
        nodes = json.loads(vxlab_in(checkout, "nodes", name, "--json").stdout)
        assert {row["vtep"] for row in nodes if row["kind"] == "hypervisor"} == {"hub"}
    finally:
        vxlab_in(checkout, "down", name)


def test_the_suite_judges_the_file_alone(checkout: Path) -> None:
    (command,) = [command for command in COMMANDS if "--vtep-cmd" in command]
    arguments = shlex.split(command)[1:]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = vxlab_in(checkout, *arguments, "--json", *ONLY, PATH=path)
    assert_hub(done)
    assert json.loads(done.stdout)[0]["vtep"] == "python vxlab/vteps/hub.py"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which another package with the kind is installed."""
    source = tmp_path_factory.mktemp("source")
    target = tmp_path_factory.mktemp("site")
    (source / "hub_vtep.py").write_text(CODE.replace('"vxlab.vteps.hub"', '"hub_vtep"'))
    project = '[project]\nname = "hub-vtep"\nversion = "1"\n'
    modules = '[tool.setuptools]\npy-modules = ["hub_vtep"]\n'
    (source / "pyproject.toml").write_text(project + ENTRY_POINT + modules)
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *offline,
        "--target",
        str(target),
        str(source),
    ]
    subprocess.run(command, check=True)
    return target


def test_a_kind_comes_from_another_package(installed: Path, tmp_path: Path) -> None:
    arguments = ("conformance", "--vtep", "hub", "--json", *ONLY)
    assert_hub(vxlab_in(tmp_path, *arguments, PYTHONPATH=str(installed)))
