"""The catalogue of rows is complete, and packets are parsed as they are built."""

from __future__ import annotations

import pytest

from vtep import config
from vxlab.conformance import frames
from vxlab.conformance.catalogue import BINDING, rows_of
from vxlab.conformance.membership_reports import reports
from vxlab.conformance.setups import BASE, SHORT, SUPPRESS, TRUSTED
from vxlab.errors import UsageError

MUST = ("N19", "N20", "N21", "N22", "N23", "N29", "N30", "N32", "N33")
SHOULD = ("N24", "N25", "N28", "N38", "N40", "N42")
JOIN_V3 = (
    "01005e0000160244000000010800"
    "46c00028000040000102422ac0000205e000001694040000"
    "220000000000000104000000ef01010a"
)


def test_rows_are_named_one_by_one_or_as_a_list_with_commas() -> None:
    assert [row.id for row in rows_of(("N21,N8", "N19"))] == ["N8", "N19", "N21", "N21.strict"]
    with pytest.raises(UsageError, match="row N99 does not exist"):
        rows_of(("N8,N99",))


def test_every_statement_of_the_table_has_a_row() -> None:
    ids = {row.id for row in rows_of()}
    assert {f"N{number}" for number in range(1, 44)} <= ids
    assert {f"E{number}" for number in range(1, 21)} <= ids


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("MUST", MUST),
        ("MUST NOT", ("N14",)),
        ("SHOULD", SHOULD),
        ("SHOULD NOT", ("N41",)),
        ("RECOMMENDED", ("N17", "N26", "N27")),
    ],
)
def test_the_keywords_of_the_document_are_kept(kind: str, ids: tuple[str, ...]) -> None:
    assert {row.kind for row in rows_of(ids) if row.id in ids} == {kind}
    assert kind in BINDING


def test_rows_are_chosen_with_their_variants() -> None:
    assert [row.id for row in rows_of(("N40",))] == ["N40", "N40.carry"]


def test_an_unknown_row_is_an_error_that_lists_the_rows() -> None:
    with pytest.raises(UsageError, match="row Q7 does not exist; rows: N1 "):
        rows_of(("Q7",))


def test_the_agent_accepts_the_configuration_of_every_row() -> None:
    for setup in {row.setup.name: row.setup for row in rows_of()}.values():
        parsed = config.parse(setup.text("/tmp/control.sock", multicast=True, trunk=True))
        assert len(parsed.segments) == len(setup.segments)


def test_a_vtep_without_trunk_has_a_port_for_each_segment() -> None:
    parsed = config.parse(BASE.text("/tmp/control.sock", multicast=True, trunk=False))
    assert [(each.port, each.vlan) for each in parsed.segments] == [
        ("port0", None),
        ("port1", None),
        ("port2", None),
    ]


def test_a_setup_names_its_options() -> None:
    assert BASE.options == set()
    assert SHORT.options >= {"fdb.limit", "ageing_s"}
    assert "underlay.trusted" in TRUSTED.options
    assert "segment.suppress_arp" in SUPPRESS.options


@pytest.mark.parametrize(
    "addresses", [("192.0.2.11", "192.0.2.1"), ("2001:db8::11", "2001:db8::1")]
)
def test_a_built_packet_is_parsed_again(addresses: tuple[str, str]) -> None:
    source, own = addresses
    inner = frames.frame("02:57:00:00:00:01", frames.BROADCAST)
    outer = frames.Outer(source, own, 4789, "02:44:00:00:00:01", udp_checksum=None)
    packet = frames.parse_vxlan(outer.packet(frames.vxlan_header(0xABCDEF) + inner), 4789)
    assert packet is not None
    assert (packet.source, packet.destination, packet.vni) == (source, own, 0xABCDEF)
    assert packet.inner == inner
    assert packet.udp_checksum == packet.correct_checksum


def test_a_membership_report_is_parsed() -> None:
    (report,) = reports([bytes.fromhex(JOIN_V3)])
    assert (report.group, report.joins, report.sources) == ("239.1.1.10", True, 0)
