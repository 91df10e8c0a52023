"""Properties for any input: VNIs are isolated, nothing raises, everything is counted once."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fabric import TRUNK, Fabric, address
from vtep.drops import FLOOD, UNICAST
from vtep.effects import ToPort, ToUnderlay

VNIS = {1: 10, 2: 20, 3: 0xFFFFFF}  # by VLAN
VLANS = {vni: vlan for vlan, vni in VNIS.items()}
SHARED = "239.1.1.10"

stations = st.integers(0, 3).map(lambda number: bytes((2, 0, 0, 0, 0, number)))
destinations = st.one_of(stations, st.sampled_from([b"\xff" * 6, b"\x01\x00\x5e\x00\x00\xfb"]))


class Sent(NamedTuple):
    """A VM sends, or time passes, or a VTEP's VNI is removed and added again."""

    vtep: int
    vlan: int
    source: bytes
    destination: bytes
    then: str


steps = st.builds(
    Sent,
    vtep=st.integers(1, 3),
    vlan=st.sampled_from(sorted(VNIS)),
    source=stations,
    destination=destinations,
    then=st.sampled_from(["", "", "", "wait", "flush", "renew"]),
)


def three_vnis(vteps: int = 3) -> Fabric:
    """Two VNIs share a group, the third has its own; the same VLANs everywhere."""
    fabric = Fabric(vteps, ageing_s=3.0, limit=3)
    for vlan, vni in VNIS.items():
        fabric.carry(vni, SHARED if vlan < 3 else "239.1.1.30", vlan)
    return fabric


def disturb(fabric: Fabric, step: Sent) -> None:
    if step.then == "wait":
        fabric.advance(2.0)
    elif step.then == "flush":
        fabric.cores[step.vtep].flush(VNIS[step.vlan], None, fabric.now)
    elif step.then == "renew":
        group = SHARED if step.vlan < 3 else "239.1.1.30"
        fabric.drop_vni(step.vtep, VNIS[step.vlan])
        fabric.carry(VNIS[step.vlan], group, step.vlan, on=[step.vtep])


@settings(max_examples=100)
@given(st.lists(steps, max_size=25))
def test_no_frame_crosses_vnis(script: list[Sent]) -> None:
    fabric = three_vnis()
    for number, step in enumerate(script):
        vni = VNIS[step.vlan]
        payload = vni.to_bytes(3, "big") + number.to_bytes(2, "big")
        handed, wired = len(fabric.handed), len(fabric.wire)
        fabric.exchange(
            step.vtep, step.destination + step.source + b"\x88\xb5" + payload, step.vlan
        )
        for each in fabric.handed[handed:]:
            assert (each.vni, each.vlan, each.frame[14:]) == (vni, step.vlan, payload)
            assert each.vtep != step.vtep, "back to where it came from"
        receivers = [each.vtep for each in fabric.handed[handed:]]
        assert len(receivers) == len(set(receivers)), "one copy each"
        assert len(fabric.wire) - wired <= 1, "a frame makes one packet at most"
        assert all(packet.vni == vni for packet in fabric.wire[wired:])
        disturb(fabric, step)


@settings(max_examples=100)
@given(st.lists(steps, max_size=25))
def test_a_vtep_is_never_its_own_remote_and_rows_are_where_frames_came_from(
    script: list[Sent],
) -> None:
    fabric = three_vnis()
    for step in script:
        fabric.exchange(step.vtep, step.destination + step.source + b"\x88\xb5", step.vlan)
    for number, core in fabric.cores.items():
        for vni, segment in core.segments.by_vni.items():
            for station, row in segment.fdb.rows.items():
                assert row.remote != address(number)
                homes = {address(step.vtep) for step in script
                         if (VNIS[step.vlan], step.source) == (vni, station)}  # fmt: skip
                assert (row.remote or address(number)) in homes


def total(fabric: Fabric, vtep: int) -> int:
    """The number of frames and packets that a VTEP has counted, by any fate."""
    core = fabric.cores[vtep]
    counters = [
        core.unassigned_counters,
        *(segment.counters for segment in core.segments.by_vni.values()),
    ]
    forwarded = [way for each in counters for way in (each.encapsulated, each.decapsulated)]
    return sum(sum(each.drops) for each in counters) + sum(
        way[UNICAST] + way[FLOOD] for way in forwarded
    )


vxlan_headers = st.builds(
    lambda flags, vni, last: bytes((flags, 0, 0, 0)) + vni.to_bytes(3, "big") + bytes((last,)),
    flags=st.sampled_from([8, 8, 8, 0, 0xFF]),
    vni=st.sampled_from([*VLANS, 99]),
    last=st.sampled_from([0, 0, 1]),
)
ethernet = st.builds(
    lambda destination, source, ethertype, rest: destination + source + ethertype + rest,
    destinations,
    st.one_of(stations, st.binary(min_size=6, max_size=6)),
    st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8", b"\x08\x06"]),
    st.binary(max_size=60),
)
inputs = st.one_of(
    st.binary(max_size=80),
    ethernet,
    st.builds(bytes.__add__, vxlan_headers, st.one_of(ethernet, st.binary(max_size=20))),
)
arrivals = st.tuples(
    st.booleans(),  # from the port
    st.sampled_from([None, 1, 2, 3, 4, 0]),  # VLAN
    st.sampled_from([address(1), address(2), address(3), "198.51.100.9"]),  # sender
    st.booleans(),  # to a group
    inputs,
)


@settings(max_examples=300)
@given(st.lists(arrivals, max_size=12), st.booleans(), st.booleans(), st.booleans())
def test_any_bytes_from_either_side_end_in_exactly_one_count_and_one_event(
    script: list[tuple[bool, int | None, str, bool, bytes]], strict: bool, carry: bool, access: bool
) -> None:
    fabric = Fabric(1, strict=strict, limit=2, mtu=110, udp_checksum=carry)
    for vlan, vni in VNIS.items():
        if access and vlan > 1:
            continue
        fabric.carry(vni, SHARED, None if access else vlan, carry_tags=carry)
    core = fabric.cores[1]
    for number, (outward, tag, sender, to_group, data) in enumerate(script):
        if outward:
            decision = core.frame_from_port(TRUNK, tag, data, fabric.now)
        else:
            decision = core.datagram_from_underlay(sender, 50_000, to_group, data, fabric.now)
            assert not any(isinstance(each, ToUnderlay) for each in decision[0]), "tunnel to tunnel"
        effects, fate = decision[0], fabric.reporters[1].hold(decision)
        for effect in effects:
            assert isinstance(effect, ToPort | ToUnderlay) and fate is not None
            fate.settle(effect, None, fabric.now)
        assert total(fabric, 1) == number + 1
        assert len(fabric.fates(1)) == number + 1
        assert len(effects) == (fabric.fates(1)[-1] != "dropped")
        assert fabric.events[-1][1].as_json("hv1", 0.0, False)
    fabric.advance(1000.0)


@settings(max_examples=50)
@given(st.lists(arrivals, max_size=12))
def test_an_observer_changes_nothing(
    script: list[tuple[bool, int | None, str, bool, bytes]],
) -> None:
    watched, alone = Fabric(1), Fabric(1, observed=False)
    for fabric in (watched, alone):
        for vlan, vni in VNIS.items():
            fabric.carry(vni, SHARED, vlan)
    for outward, tag, sender, to_group, data in script:
        made = [
            fabric.cores[1].frame_from_port(TRUNK, tag, data, 0.0)
            if outward
            else fabric.cores[1].datagram_from_underlay(sender, 1, to_group, data, 0.0)
            for fabric in (watched, alone)
        ]
        (seen, events), (unseen, no_events) = made
        assert list(seen) == list(unseen)
        assert events and not no_events
    assert watched.drops(1) == alone.drops(1)
