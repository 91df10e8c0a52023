"""Ten VTEPs with one fault each: the suite finds it, on the rows that speak of it and no others."""

from __future__ import annotations

import sys

import pytest

from tests.support.broken_vtep import FAULTS
from topologies.conformance.candidate import Candidate
from topologies.conformance.catalogue import rows_of
from topologies.conformance.session import judge_all
from topologies.conformance.verdict import Verdict

CAUGHT_ON = {
    "flag_unchecked": {"N19", "N36.header", "M20"},
    "fragments": {"N14"},
    "fixed_source_port": {"N26", "N26.macs", "N26.ipv6"},
    "refresh_on_transmit": {"A2"},
    "vni_unchecked": {"N1", "N5", "N13", "M18", "M20"},
    "learns_multicast": {"M13"},
    "wrong_checksum": {"N30", "N30.ipv6"},
    # What is flooded for all its row in the table looks from outside as if there were no row.
    "floods_known_unicast": {
        *("N2", "N4", "N7", "N34.mix", "N36", "N43", "N43.local"),
        *("A3", "A4", "A5"),
    },
    "leaks_tags": {"N41", "N41.gateway", "N42"},
    "refloods": {"N5", "M11"},
}


def test_every_fault_has_its_rows() -> None:
    assert CAUGHT_ON.keys() == FAULTS.keys()
    assert set().union(*CAUGHT_ON.values()) <= {row.id for row in rows_of()}


# Each takes the whole suite; what binds in the shortest words is tried each time, the rest by
# `make slow`.
EACH_TIME = ("flag_unchecked", "vni_unchecked")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=[] if f in EACH_TIME else pytest.mark.slow) for f in FAULTS],
)
def test_a_fault_is_caught_on_the_right_rows(fault: str) -> None:
    command = (sys.executable, "-m", "tests.support.broken_vtep", "--fault", fault)
    judged = list(judge_all(Candidate(fault, command), rows_of()))
    deviating = {each.row.id: each for each in judged if each.finding.verdict is Verdict.DEVIATES}
    assert deviating.keys() == CAUGHT_ON[fault]
    assert all(each.finding.packets for each in deviating.values()), "a packet must show it"
