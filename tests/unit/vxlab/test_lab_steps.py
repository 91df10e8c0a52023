"""The steps of `vxlab up`, and how the end of a sandbox is reported."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vxlab.lab.runner import LabRunner, LabSpec
from vxlab.system import sandbox
from vxlab.system.directory import LabDirectory
from vxlab.topology import registry


def test_up_is_a_list_of_explicit_steps(tmp_path: Path) -> None:
    topo = registry.build("three_vteps", {})
    spec = LabSpec(LabDirectory(tmp_path / "x"), "three_vteps", topo, {}, "user")
    starter, _ = socket.socketpair()
    names = [name for name, _ in LabRunner(spec, starter).steps()]
    order = [
        *("start Open vSwitch", "start the controller", "create nodes and links"),
        *("start VTEP agents", "start switches", "wait for VTEP agents", "wait for groups"),
    ]
    assert [name for name in names if name in order] == order


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1", "its main process ended with status 1"),
        ("-9", "its main process was killed by SIGKILL"),
        (None, "its first process was killed"),
    ],
)
def test_the_end_of_a_sandbox_is_reported_with_its_cause(
    tmp_path: Path, code: str | None, words: str
) -> None:
    if code is not None:
        (tmp_path / "ending").write_text(code)
    assert sandbox.ending(tmp_path) == words
