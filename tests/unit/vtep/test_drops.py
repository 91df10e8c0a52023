"""The names of drop reasons and the shape of counters."""

from __future__ import annotations

from vtep.drops import FLOOD, UNICAST, Counters, DropReason, count


def test_the_numbers_of_reasons_do_not_change() -> None:
    """Numbers are stable; new reasons are added at the end."""
    assert [reason.label for reason in DropReason] == [
        "runt_frame",
        "unknown_vlan",
        "local_destination",
        "static_conflict",
        "too_big",
        "unsupported_offload",
        "underlay_busy",
        "underlay_unreachable",
        "short_header",
        "vni_flag_clear",
        "reserved_bits",
        "own_address",
        "unknown_vni",
        "short_inner",
        "inner_tag",
        "port_busy",
        "port_down",
        "underlay_overrun",
        "port_overrun",
        "untrusted_remote",
        "ecn_not_ect",
        "udp_checksum",
    ]
    assert [int(reason) for reason in DropReason] == list(range(len(DropReason)))


def test_fresh_counters_name_every_reason_with_zero() -> None:
    shown = Counters().as_json()
    nothing = {"packets": 0, "bytes": 0}
    assert shown["encapsulated"] == shown["decapsulated"] == {"unicast": nothing, "flood": nothing}
    assert shown["not_learned"] == 0
    assert shown["drops"] == {reason.label: 0 for reason in DropReason}


def test_packets_and_bytes_are_counted_by_direction_and_kind() -> None:
    counters = Counters()
    count(counters.encapsulated, UNICAST, 60)
    count(counters.encapsulated, UNICAST, 40)
    count(counters.encapsulated, FLOOD, 42)
    count(counters.decapsulated, FLOOD, 7)
    shown = counters.as_json()
    assert shown["encapsulated"]["unicast"] == {"packets": 2, "bytes": 100}
    assert shown["encapsulated"]["flood"] == {"packets": 1, "bytes": 42}
    assert shown["decapsulated"]["unicast"] == {"packets": 0, "bytes": 0}
    assert shown["decapsulated"]["flood"] == {"packets": 1, "bytes": 7}
