"""VTEPs with one fault each: the suite finds it with the right rows and no others."""

from __future__ import annotations

import sys

import pytest

from tests.support.broken_vtep import FAULTS
from vxlab.conformance.candidate import Candidate
from vxlab.conformance.catalogue import rows_of
from vxlab.conformance.session import judge_all
from vxlab.conformance.verdict import Verdict

CAUGHT_ON = {
    "flag_unchecked": {"N19", "N36.header", "M20"},
    "fragments": {"N14"},
    "fixed_source_port": {"N26", "N26.macs", "N26.ipv6"},
    "refresh_on_transmit": {"A2"},
    "vni_unchecked": {"N1", "N5", "N13", "M18", "M20"},
    "learns_multicast": {"M13"},
    "wrong_checksum": {"N30", "N30.ipv6"},
    # A known unicast that is flooded looks from outside as if the table had no entry.
    "floods_known_unicast": {
        *("N2", "N4", "N7", "N34.mix", "N36", "N43", "N43.local"),
        *("A1", "A3", "A4", "A5", "A10"),
    },
    "leaks_tags": {"N41", "N41.gateway", "N42"},
    "refloods": {"N5", "M11"},
    # -- sending
    "ttl_of_one_to_groups": {"A6", "A7.fixed"},
    "broadcasts_outside": {"N4", "N8"},
    "one_group_for_all": {"N8", "N9", "N36"},
    "sends_a_reserved_bit": {"N1.order", "N22", "N36.header"},
    "sends_a_reserved_flag": {"N1.order", "N20", "N36.header"},
    "forgets_a_remote": {"A8"},
    "drops_unknown_unicast": {"N12", "N36"},
    # The hash of the flow chooses the remote of a MAC as well as the source port.
    "source_port_of_macs": {"N26", "N26.ipv6", "A10"},
    "source_port_a_packet": {"N26", "A10"},
    "ignores_source_ports": {"N27.range"},
    "zero_checksum_over_ipv6": {"N28.ipv6"},
    "ignores_tos": {"A7", "A7.fixed"},
    "ignores_ttl": {"A7", "A7.fixed"},
    "ignores_df": {"N15.clear"},
    "ignores_silence": {"N18.silent"},
    "one_remote_of_several": {"A10"},
    "cuts_what_does_not_fit": {"N14", "N14.ipv6", "N18.silent"},
    "tells_a_wrong_mtu": {"N18", "N18.ipv6"},
    "keeps_the_check_sequence": {
        *("N3", "N8", "N9", "N12", "N17", "N17.ipv6", "N25", "N26", "N30", "N35", "N36", "N39"),
        *("N41.carry", "N42", "M16", "M19", "A8"),
    },
    "resets_congestion": {"E18", "E19", "E20"},
    # -- receiving
    "drops_reserved_bits": {"N21", "N23", "N36.header"},
    "sixteen_bit_vni": {"N1", "M20"},
    "strips_the_inner_tag": {"N38", "N40"},
    "delivers_twice": {"N7", "N36"},
    "wrong_cell": {"E7"},
    "keeps_the_inner_checksum": {"E7", "E8", "E12", "E16.ipv6"},
    # -- tables
    "ages_late": {"A1"},
    "ages_early": {"A1", "A3"},
    "renews_nothing": {"A3"},
    "static_gives_way": {"N43", "N43.local"},
    "static_gives_way_to_vms": {"N43.local"},
    "never_moves": {"A4"},
    "learns_without_limit": {"A5"},
    "one_table_for_all": {"N2", "N36"},
    "learns_the_untrusted": {"N43.trusted"},
    # -- groups and others
    "never_leaves": {"N10", "N13"},
    "joins_a_strange_group": {"N13"},
    "another_default_port": {"N24"},
    "answers_for_the_wrong_vm": {"A9", "A9.ipv6"},
    "reflects_to_the_vm": {"M21"},
}


def test_every_fault_has_its_rows() -> None:
    assert CAUGHT_ON.keys() == FAULTS.keys()
    assert set().union(*CAUGHT_ON.values()) <= {row.id for row in rows_of()}


# Each fault takes a run of the whole suite: `make net` tries two, `make slow` tries all.
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
    assert all(each.finding.packets for each in deviating.values()), "the report must show a packet"
