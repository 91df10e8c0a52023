"""A frame that an edge could not send or hand over has one fate: it was dropped."""

from __future__ import annotations

from tests.support.frames import A, B, plain
from vtep.constants import FLAG_VNI_VALID
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import PortId, ToPort, ToUnderlay
from vtep.events import Event
from vtep.options import Options
from vtep.segments import SegmentSpec

TRUNK, REMOTE = PortId(0), "192.0.2.12"


def watched() -> tuple[Core, list[Event]]:
    core, told = Core(Options(local="192.0.2.11")), []
    core.add_segment(SegmentSpec(10, TRUNK, 1, "239.1.1.10"), 0.0)
    core.observer = told.append
    return core, told


def sent(core: Core) -> ToUnderlay:
    (effect,) = core.frame_from_port(TRUNK, 1, plain(A, B), 0.0)
    assert isinstance(effect, ToUnderlay)
    return effect


def handed(core: Core) -> ToPort:
    datagram = bytes([FLAG_VNI_VALID, 0, 0, 0, 0, 0, 10, 0]) + plain(B, A)
    (effect,) = core.datagram_from_underlay(REMOTE, 50000, True, datagram, 0.0)
    assert isinstance(effect, ToPort)
    return effect


def test_what_could_not_be_sent_was_not_flooded_but_dropped() -> None:
    core, told = watched()
    core.failed(sent(core), DropReason.UNDERLAY_BUSY, 1.0)
    assert [(event.decision, event.why) for event in told] == [
        *[("learned", "local"), ("dropped", "underlay_busy")]
    ]
    counters = core.segments.by_vni[10].counters
    assert counters.encapsulated == [0, 0, 0, 0]
    assert counters.drops[DropReason.UNDERLAY_BUSY] == sum(counters.drops) == 1


def test_what_could_not_be_handed_over_was_not_delivered_but_dropped() -> None:
    core, told = watched()
    core.failed(handed(core), DropReason.PORT_DOWN, 1.0)
    assert [(event.decision, event.why) for event in told] == [
        *[("learned", "remote"), ("dropped", "port_down")]
    ]
    assert (told[1].remote, told[1].sport, told[1].frame) == (REMOTE, 50000, plain(B, A))
    assert core.segments.by_vni[10].counters.decapsulated == [0, 0, 0, 0]


def test_what_was_done_is_told_once() -> None:
    core, told = watched()
    core.done(sent(core))
    core.done(handed(core))
    fates = [event.decision for event in told if event.decision != "learned"]
    assert fates == ["flooded", "delivered"]


def test_what_failed_after_its_vni_went_is_still_counted() -> None:
    core, _ = watched()
    effect = sent(core)
    core.remove_segment(10, 0.0)
    core.failed(effect, DropReason.UNDERLAY_BUSY, 1.0)
    assert core.unassigned_counters.drops[DropReason.UNDERLAY_BUSY] == 1


def test_without_an_observer_an_effect_has_nothing_to_tell() -> None:
    core, _ = watched()
    core.observer = None
    assert sent(core).told is None and handed(core).told is None
