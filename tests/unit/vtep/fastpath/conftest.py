"""The loaded eBPF program, once for each underlay family."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.prog_run import FastPathProgram


@pytest.fixture(scope="module", params=[4, 6], ids=["underlay4", "underlay6"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FastPathProgram]:
    """Compiled and loaded; its maps are shared by the tests of a module."""
    program = FastPathProgram(request.param, tmp_path_factory.mktemp("bpf"))
    yield program
    program.close()
