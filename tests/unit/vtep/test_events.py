"""Event records: the same keys always, one fate per frame, none without an observer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import frames
from tests.support.fabric import Fabric
from tests.support.frames import A, B, mac
from vtep import core as core_module
from vtep.events import Event, frame_as_json

KEYS = ["time_s", "hypervisor", "decision", "why", "vni", "vlan", "mac", "remote", "group",
        "sport", "failed", "frame", "initial"]  # fmt: skip
FRAME_KEYS = ["source", "destination", "ethertype", "length", "summary"]


def busy_fabric() -> Fabric:
    """A fabric that has made every decision the core can make."""
    fabric = Fabric(3, ageing_s=10.0).carry()
    fabric.exchange(1, frames.arp_request())
    fabric.exchange(2, frames.arp_reply())
    fabric.exchange(1, frames.echo(A, "02:00:00:00:00:77"))
    fabric.exchange(1, frames.solicitation6())
    fabric.exchange(3, frames.plain(source=A))
    fabric.exchange(3, b"short")
    fabric.inject(3, "192.0.2.99", b"\x08")
    fabric.cores[3].set_static(10, mac(B), "192.0.2.12", fabric.now)
    fabric.exchange(3, frames.plain(destination=B))
    fabric.reporters[1].report(fabric.cores[1].flush(10, mac(B), fabric.now)[1])
    fabric.advance(60)
    for vtep in fabric.cores:
        fabric.drop_vni(vtep)
    return fabric


def test_every_record_has_every_key_and_is_json() -> None:
    for number, event in busy_fabric().events:
        record = json.loads(json.dumps(event.as_json(f"hv{number}", 0.0, False)))
        assert list(record) == KEYS
        assert record["frame"] is None or list(record["frame"]) == FRAME_KEYS


def test_the_busy_fabric_makes_every_kind_of_decision() -> None:
    fabric = busy_fabric()
    assert {word for vtep in fabric.cores for word in fabric.decisions(vtep)} == {
        "joined vni_added", "left vni_removed", "learned local", "learned remote",
        "moved local_to_remote", "moved remote_to_local", "aged idle", "flushed operator",
        "flooded broadcast", "flooded multicast", "flooded unknown_unicast", "sent known_unicast",
        "sent static", "delivered unicast", "delivered flood", "dropped runt_frame",
        "dropped short_header", "moved remote_to_remote",
    }  # fmt: skip


def test_a_record_in_full() -> None:
    fabric = Fabric(2).carry()
    fabric.send(1, frames.arp_request())
    flooded = fabric.events[-1][1].as_json("hv1", 1_700_000_000.0, False)
    assert flooded == {
        "time_s": 1_700_001_000.0,
        "hypervisor": "hv1",
        "decision": "flooded",
        "why": "broadcast",
        "vni": 10,
        "vlan": 1,
        "mac": None,
        "remote": None,
        "group": "239.1.1.10",
        "sport": fabric.wire[0].sport,
        "failed": None,
        "frame": {
            "source": "02:00:00:00:00:0a",
            "destination": "ff:ff:ff:ff:ff:ff",
            "ethertype": "0x0806",
            "length": 42,
            "summary": "ARP who-has 10.0.0.2 tell 10.0.0.1",
        },
        "initial": False,
    }


def test_a_learned_row_in_full() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, frames.arp_request())
    learned = next(e for number, e in fabric.events if number == 2 and e.decision == "learned")
    record = learned.as_json("hv2", 0.0, True)
    shown = {key: value for key, value in record.items() if value is not None}
    assert shown == {
        "time_s": 1000.0, "hypervisor": "hv2", "decision": "learned", "why": "remote", "vni": 10,
        "mac": "02:00:00:00:00:0a", "remote": "192.0.2.11", "initial": True,
    }  # fmt: skip


def test_learning_is_reported_before_the_fate() -> None:
    fabric = Fabric(2).carry()
    fabric.exchange(1, frames.arp_request())
    assert fabric.decisions(1)[1:] == ["learned local", "flooded broadcast"]
    assert fabric.decisions(2)[1:] == ["learned remote", "delivered flood"]


@given(st.binary(max_size=60))
def test_any_frame_has_a_record(frame: bytes) -> None:
    record = frame_as_json(frame)
    assert list(record) == FRAME_KEYS and record["length"] == len(frame)
    assert json.dumps(record)


@pytest.mark.parametrize(
    ("length", "source", "destination"),
    [
        (5, None, None),
        (6, None, "ff:ff:ff:ff:ff:ff"),
        (11, None, "ff:ff:ff:ff:ff:ff"),
        (12, A, "ff:ff:ff:ff:ff:ff"),
    ],
)
def test_a_short_frame_shows_the_addresses_it_has(
    length: int, source: str | None, destination: str | None
) -> None:
    record = frame_as_json(frames.arp_request()[:length])
    assert (record["source"], record["destination"]) == (source, destination)


def test_no_event_is_made_without_an_observer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Event:
        raise AssertionError("an event was made")

    monkeypatch.setattr(core_module, "Event", refuse)
    fabric = Fabric(3, observed=False, ageing_s=10.0).carry()
    fabric.exchange(1, frames.arp_request())
    fabric.exchange(2, frames.arp_reply())
    fabric.exchange(3, frames.plain(source=A))
    fabric.exchange(3, b"short")
    fabric.inject(3, "192.0.2.99", b"\x08")
    fabric.cores[1].flush(None, None, fabric.now)
    fabric.advance(60)
    fabric.drop_vni(1)
    assert len(fabric.wire) == 3


def test_the_current_state_as_events() -> None:
    fabric = Fabric(2).carry().carry(20, "239.1.1.20", 2)
    fabric.exchange(1, frames.arp_request())
    fabric.exchange(2, frames.arp_reply())
    fields = [(e.decision, e.why, e.vni, e.group, e.mac, e.remote)
            for e in fabric.cores[1].segments.current_state(fabric.now)]  # fmt: skip
    assert fields == [
        ("joined", "vni_added", 10, "239.1.1.10", None, None),
        ("joined", "vni_added", 20, "239.1.1.20", None, None),
        ("learned", "local", 10, None, mac(A), None),
        ("learned", "remote", 10, None, mac(B), "192.0.2.12"),
    ]
