"""The set-up script's decision whether the eBPF program has to be compiled."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lint.files import CHECKOUT

SETUP = next(
    CHECKOUT / line.removeprefix("SETUP := ")
    for line in (CHECKOUT / "Makefile").read_text().splitlines()
    if line.startswith("SETUP := ")
)
COMPILER = """#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = -o ] && echo compiled >"$2"; shift; done
"""
OBJECTS = ("vxlan4.bpf.o", "vxlan6.bpf.o")


class Tree:
    """A checkout with an environment, a compiler and the sources of the program; no real ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tool("bin/clang", COMPILER)
        self.tool(".venv/bin/python", "#!/bin/sh\n")
        self.fast_path = path / "vtep/fastpath"
        self.fast_path.mkdir(parents=True)
        for name in ("vxlan.bpf.c", "maps.h"):
            (self.fast_path / name).write_text(name)

    def tool(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def shell(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands on this tree, with the functions of setup.sh defined."""
        places = f"venv={self.path}/.venv log={self.path}/log fast_path={self.fast_path}"
        objects = 'objects=("$fast_path"/vxlan{4,6}.bpf.o)'
        return subprocess.run(
            ["bash", "-c", f"source {SETUP}; {places}; {objects}; {commands}"],
            env={**os.environ, "PATH": f"{self.path}/bin:{os.environ['PATH']}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def build(self) -> str:
        done = self.shell("build_fast_path")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def complete(self) -> bool:
        return self.shell('holds .fast_path "$(fast_path_key)"').returncode == 0


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path)
    assert not made.complete()
    assert made.build() == ""
    assert made.complete()
    return made


@pytest.mark.parametrize("name", OBJECTS)
def test_a_missing_object_is_compiled_again(tree: Tree, name: str) -> None:
    (tree.fast_path / name).unlink()
    assert not tree.complete()
    tree.build()
    assert (tree.fast_path / name).exists() and tree.complete()


@pytest.mark.parametrize("name", [*OBJECTS, "maps.h", "vxlan.bpf.c"])
def test_a_changed_file_is_noticed(tree: Tree, name: str) -> None:
    (tree.fast_path / name).write_text("something else")
    assert not tree.complete()


def test_a_failed_compilation_is_reported_each_time_and_leaves_no_object(tree: Tree) -> None:
    tree.tool("bin/clang", "#!/bin/sh\nexit 1\n")
    for _ in range(2):
        said = tree.build()
        assert said.startswith("setup: clang cannot compile") and said.count("\n") == 1
        assert not any((tree.fast_path / name).exists() for name in OBJECTS)
        assert not tree.complete()
