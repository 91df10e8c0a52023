"""A million mutated packets and frames: no exception, no wrong VNI, no growth, all counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.frames import (
    A,
    B,
    arp_reply,
    arp_request,
    echo,
    plain,
    solicitation6,
    tagged,
    tcp,
    tcp6,
    udp,
)
from tests.support.mutation import Memory, mutated
from vtep.core import Core
from vtep.effects import Decision, PortId, ToPort, ToUnderlay
from vtep.events import AGED, ANSWERED, DELIVERED, DROPPED, FLOODED, SENT
from vtep.options import Options
from vtep.segments import SegmentSpec

TRUNK, ACCESS = PortId(0), PortId(1)
VNIS = {10: (TRUNK, 1), 11: (TRUNK, 2), 12: (ACCESS, None)}
LIMIT = 200
STATIC = bytes.fromhex("0200000000ee")
FATES = (FLOODED, SENT, DELIVERED, ANSWERED, DROPPED)
REMOTES = [f"192.0.2.{n}" for n in range(11, 31)]  # the first is the VTEP itself
FRAMES = [
    arp_request(), arp_reply(), echo(), tcp(), tcp6(), udp(), plain(A, B), solicitation6(),
    tagged(echo(), 7), tagged(udp(), 7, 8),
]  # fmt: skip
LOOKS = 60
ROUNDS = [pytest.param(20_000, id="short"), pytest.param(1_000_000, marks=pytest.mark.slow)]


def vtep(now: float) -> Core:
    core = Core(Options("192.0.2.11", limit=LIMIT, ageing_s=30, mtu=1600))
    for vni, (port, vlan) in VNIS.items():
        core.add_segment(
            SegmentSpec(vni, port, vlan, f"239.1.1.{vni}", carry_tags=vni == 12, suppress_arp=True),
            now,
        )
    core.set_static(10, STATIC, "192.0.2.12", now)
    return core


def inputs(chance: random.Random, count: int, core: Core, now: float) -> Iterator[Decision]:
    """Feed frames and packets one by one, and check that no effect is in a wrong VNI."""
    for number in range(count):
        frame = bytearray(mutated(chance, chance.choice(FRAMES)))
        if len(frame) >= 12 and chance.random() < 0.5:
            frame[6:12] = b"\x02" + chance.randbytes(5)  # new senders test the limit
        if chance.random() < 0.5:
            port, vlan = chance.choice([*VNIS.values(), (TRUNK, 3), (ACCESS, 5)])
            decision = core.frame_from_port(port, vlan, bytes(frame), now + number / 1000)
            vnis = {vni for vni, place in VNIS.items() if place == (port, vlan)}
            if port == ACCESS:
                vnis = {12}  # an access port's tags are the VM's own
        else:
            vni = chance.choice([10, 11, 12, 13])
            header = bytearray(b"\x08\0\0\0" + vni.to_bytes(3, "big") + b"\0")
            datagram = mutated(chance, bytes(header + frame))
            sender = chance.choice(REMOTES)
            group = chance.random() < 0.3
            decision = core.datagram_from_underlay(
                sender, 50_000, group, datagram, now + number / 1000, chance.randrange(256)
            )
            assert not any(isinstance(effect, ToUnderlay) for effect in decision[0])
            vnis = {int.from_bytes(datagram[4:7], "big")}
        for effect in decision[0]:
            assert isinstance(effect, ToPort | ToUnderlay)
            assert effect.vni in vnis, (vnis, decision)
        yield decision


def counted(core: Core) -> int:
    """The number of inputs that were counted as sent, delivered or dropped."""
    all_of_them = [core.unassigned_counters, *(s.counters for s in core.segments.by_vni.values())]
    return sum(
        sum(each.drops) + sum(way[kind] for way in (each.encapsulated, each.decapsulated)
                              for kind in (0, 2))
        for each in all_of_them
    )  # fmt: skip


@pytest.mark.parametrize("count", ROUNDS)
def test_every_input_has_one_fate_and_is_counted(count: int) -> None:
    chance, now = random.Random(7348), 1000.0
    core = vtep(now)
    decisions: Counter[str] = Counter()
    core.watch(True)
    with Memory() as memory:
        for number, (_, events) in enumerate(inputs(chance, count, core, now), start=1):
            decisions.update(event.decision for event in events)
            if number % 1000 == 0:
                decisions.update(event.decision for event in core.expire(now + number / 1000))
            if number % (count // LOOKS) == 0:
                memory.look()
    assert sum(decisions[fate] for fate in FATES) == count
    assert counted(core) == count - decisions[ANSWERED]
    assert not memory.has_grown()
    assert decisions[AGED] > 0 or count < 100_000
    for segment in core.segments.by_vni.values():
        learned = [row for row in segment.fdb.rows.values() if not row.static]
        assert len(learned) <= LIMIT
        assert len(segment.headers) <= len(REMOTES) + 1
        assert len(segment.neighbours) <= LIMIT
    assert core.segments.by_vni[10].fdb.rows[STATIC].remote == "192.0.2.12"
