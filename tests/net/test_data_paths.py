"""The eBPF and Python data paths behave alike: deliveries, tables, counters, verdicts."""

from __future__ import annotations

import re

import pytest

from tests.net.differential import compare
from tests.support.fastpath import needs_kernel_data_path
from tests.support.labs import vxlab
from vxlab.conformance.setups import BASE, SIX_ZERO, Setup

pytestmark = needs_kernel_data_path


def claim_equal(setup: Setup, seed: int, frames: int) -> None:
    said = compare(setup, seed, frames)
    found = re.match(rf"equal: {frames} frames, seed {seed}, fast (\d+), in Python 0$", said)
    assert found, said
    assert int(found[1]) > frames / 5  # enough of them were forwarded by the eBPF program


@pytest.mark.parametrize(("setup", "seed"), [(BASE, 1), (BASE, 2), (SIX_ZERO, 3)])
def test_random_traffic_has_the_same_outcome_on_both(setup: Setup, seed: int) -> None:
    claim_equal(setup, seed, 2_000)


@pytest.mark.slow
@pytest.mark.parametrize("setup", [BASE, SIX_ZERO])
def test_much_random_traffic_has_the_same_outcome_on_both(setup: Setup) -> None:
    claim_equal(setup, seed=7, frames=100_000)


@pytest.mark.parametrize("data_path", ["ebpf", "python"])
def test_the_demo_succeeds_on_both(data_path: str) -> None:
    done = vxlab("demo", "--set", f"datapath={data_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All eight steps were verified." in done.stdout
