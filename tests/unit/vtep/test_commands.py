"""The control socket's commands: results, changes, refusals and event streams."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import frames
from tests.support.fabric import TRUNK
from tests.support.frames import A, B, C, mac
from tests.unit.vtep.control_client import Peer, Server
from vtep import commands
from vtep.core import Core
from vtep.data_path import DataPath, PortReader, UnderlayReader
from vtep.drops import DropReason
from vtep.effects import Decision, JoinGroup, LeaveGroup
from vtep.errors import StartError
from vtep.options import Options
from vtep.reporting import Reporter
from vtep.segments import Mirror, SegmentSpec

HV1, HV2, HV3 = "192.0.2.11", "192.0.2.12", "192.0.2.13"
GROUP = "239.1.1.10"


class FakeDataPath:
    """A data path that receives nothing."""

    name, reason = "python", "asked for"
    mirror: Mirror | None = None
    port_readers: Sequence[PortReader] = ()
    underlay_readers: Sequence[UnderlayReader] = ()

    def start(self) -> None:
        raise AssertionError("no command starts the data path")

    def overruns(self) -> tuple[int, int]:
        raise AssertionError("no command counts overruns")

    def close(self) -> None:
        raise AssertionError("no command closes the data path")


class FakeVtep:
    """A core without sockets that records what it is asked to do."""

    def __init__(self, *ports: str) -> None:
        self.name = "hv1"
        self.ports = ports
        self.core = Core(Options(local=HV1))
        self.data_path: DataPath = FakeDataPath()
        self.reporter = Reporter(self.core.watch)
        self.groups: set[str] = set()
        self.full = False
        self.stopped = False
        self.carry_out(self.core.add_segment(SegmentSpec(10, TRUNK, 1, GROUP), 0.0))

    def carry_out(self, decision: Decision) -> None:
        fate = self.reporter.hold(decision)
        for effect in decision[0]:
            if isinstance(effect, JoinGroup):
                if self.full:
                    raise StartError(f"group {effect.group}: No buffer space available")
                self.groups.add(effect.group)
            elif isinstance(effect, LeaveGroup):
                self.groups.remove(effect.group)
            elif fate is not None:
                fate.settle(effect, None, time.monotonic())

    def kernel_groups(self) -> set[str]:
        return self.groups

    def stop(self) -> None:
        self.stopped = True

    def from_underlay(self, sender: str, frame: bytes, vni: int = 10) -> None:
        datagram = b"\x08\0\0\0" + vni.to_bytes(3, "big") + b"\0" + frame
        now = time.monotonic()
        self.carry_out(self.core.datagram_from_underlay(sender, 50_000, True, datagram, now))

    def from_port(self, frame: bytes) -> None:
        self.carry_out(self.core.frame_from_port(TRUNK, 1, frame, time.monotonic()))


def is_watched(vtep: FakeVtep) -> bool:
    return vtep.core.watched


@pytest.fixture
def vtep() -> FakeVtep:
    return FakeVtep("trunk0")


@pytest.fixture
def server(vtep: FakeVtep, tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "hv1.sock", commands.table(vtep))
    yield running
    running.close()
    assert not is_watched(vtep), "an observer is still subscribed"


@pytest.fixture
def client(server: Server) -> Peer:
    return Peer(server)


# -- looking


def test_ready(client: Peer) -> None:
    assert client.result("ready") == {
        "name": "hv1", "ready": True, "vnis": 1, "pid": os.getpid(),
        "datapath": "python", "datapath_why": "asked for",
    }  # fmt: skip


def test_fdb_shows_local_learned_and_static_rows_in_order(vtep: FakeVtep, client: Peer) -> None:
    vtep.core.add_segment(SegmentSpec(5, TRUNK, None, GROUP), 0.0)
    vtep.from_port(frames.plain(C))
    vtep.from_underlay(HV2, frames.plain(B))
    vtep.core.set_static(5, mac(A), HV3, time.monotonic())
    rows = client.result("fdb")
    assert all(0 <= row.pop("age_s") < 60 for row in rows)
    assert rows == [
        {"hypervisor": "hv1", "vni": 5, "mac": A, "remote": HV3, "port": None, "kind": "static"},
        {"hypervisor": "hv1", "vni": 10, "mac": B, "remote": HV2, "port": None, "kind": "learned"},
        {"hypervisor": "hv1", "vni": 10, "mac": C, "remote": None, "port": "vlan 1",
         "kind": "local"},
    ]  # fmt: skip
    assert [row["mac"] for row in client.result("fdb", vni=10)] == [B, C]


def test_a_local_row_without_a_vlan_shows_its_port(vtep: FakeVtep, client: Peer) -> None:
    vtep.core.remove_segment(10, 0.0)
    vtep.core.add_segment(SegmentSpec(10, TRUNK, None, GROUP), 0.0)
    vtep.core.frame_from_port(TRUNK, None, frames.plain(A), 0.0)
    assert client.result("fdb")[0]["port"] == "trunk0"


def test_groups_are_joined_only_if_the_kernel_reports_them(vtep: FakeVtep, client: Peer) -> None:
    assert client.result("groups") == [{"vni": 10, "group": GROUP, "joined": True}]
    vtep.groups.clear()
    assert client.result("groups") == [{"vni": 10, "group": GROUP, "joined": False}]


def test_stats_have_one_row_per_vni_and_one_without_vni(vtep: FakeVtep, client: Peer) -> None:
    vtep.from_port(frames.arp_request())
    vtep.from_underlay(HV2, frames.arp_reply())
    vtep.from_underlay(HV2, b"", vni=99)
    ten, unassigned_counters = client.result("stats")
    assert (ten["hypervisor"], ten["vni"]) == ("hv1", 10)
    assert ten["encapsulated"]["flood"] == ten["decapsulated"]["flood"] == {
        "packets": 1, "bytes": 42,
    }  # fmt: skip
    assert set(ten["drops"]) == {reason.label for reason in DropReason}
    assert not any(ten["drops"].values())
    assert unassigned_counters["vni"] is None and unassigned_counters["drops"]["unknown_vni"] == 1


# -- changing


def test_flush_of_one_mac_of_one_vni_and_of_all(vtep: FakeVtep, client: Peer) -> None:
    for source in (A, B, C):
        vtep.from_underlay(HV2, frames.plain(source))
    vtep.core.set_static(10, mac(C), HV3, 0.0)
    assert client.result("flush", mac=A) == {"removed": 1}
    assert client.result("flush", vni=10) == {"removed": 1}
    assert client.result("flush") == {"removed": 0}
    assert [row["mac"] for row in client.result("fdb")] == [C]


def test_adding_and_removing_a_vni_joins_and_leaves_its_group(vtep: FakeVtep, client: Peer) -> None:
    assert client.result("vni_add", vni=20, group="239.1.1.20", vlan=2) == {}
    assert vtep.groups == {GROUP, "239.1.1.20"}
    assert client.result("ready")["vnis"] == 2
    assert client.result("vni_del", vni=20) == {}
    assert vtep.groups == {GROUP}


def test_a_vni_whose_group_cannot_be_joined_is_not_added(vtep: FakeVtep, client: Peer) -> None:
    vtep.full = True
    assert client.refusal("vni_add", vni=20, group="239.1.1.20", vlan=2) == (
        "group 239.1.1.20: No buffer space available"
    )
    assert list(vtep.core.segments.by_vni) == [10] and vtep.groups == {GROUP}
    vtep.full = False
    assert client.result("vni_add", vni=20, group="239.1.1.20", vlan=2) == {}


def test_static_rows_are_added_and_removed(vtep: FakeVtep, client: Peer) -> None:
    assert client.result("static_add", vni=10, mac=B, remote=HV2) == {}
    (row,) = client.result("fdb")
    assert (row["mac"], row["remote"], row["kind"]) == (B, HV2, "static")
    assert client.result("static_del", vni=10, mac=B) == {}
    assert client.result("fdb") == []


def test_stop_is_answered_before_the_agent_stops(vtep: FakeVtep, client: Peer) -> None:
    assert client.result("stop") == {}
    assert vtep.stopped


NO_VNI = "vni = 99: this VTEP has no such VNI"
VNI_RANGE = "must be a whole number from 0 to 16777215"
NEW = {"vni": 20, "group": "239.1.1.20", "vlan": 2}


@pytest.mark.parametrize(
    ("do", "arguments", "words"),
    [
        ("fdb", {"vni": 99}, NO_VNI),
        ("fdb", {"vni": "10"}, f"vni = '10': {VNI_RANGE}"),
        ("fdb", {"vni": True}, f"vni = True: {VNI_RANGE}"),
        ("fdb", {"vni": [10]}, f"vni = [10]: {VNI_RANGE}"),
        ("fdb", {"vni": 10.0}, f"vni = 10.0: {VNI_RANGE}"),
        ("flush", {"vni": 99}, NO_VNI),
        ("flush", {"mac": "B"}, "mac = 'B': must be a MAC such as 02:00:00:00:00:0a"),
        ("flush", {"mac": 5}, "mac = 5: must be a non-empty string"),
        ("vni_del", {"vni": 99}, NO_VNI),
        ("vni_del", {"vni": None}, f"vni = None: {VNI_RANGE}"),
        ("vni_add", {}, "segment.vni: missing"),
        ("vni_add", {**NEW, "vni": 10}, "vni 10: already exists"),
        ("vni_add", {**NEW, "vlan": 1}, "vlan 1: already used by vni 10"),
        ("vni_add", {**NEW, "port": "trunk9"}, "port = 'trunk9': must be trunk0"),
        ("vni_add", {**NEW, "self": 1},
         "segment.self: unknown; must be one of vni, vlan, inner_tags, group, remotes, port"),
        ("vni_add", {**NEW, "_client": 1}, "segment._client: unknown"),
        ("static_add", {"vni": 99, "mac": B, "remote": HV2}, NO_VNI),
        ("static_add", {"vni": 10, "mac": B, "remote": GROUP},
         f"remote = '{GROUP}': must be the IP address of one host"),
        ("static_add", {"vni": 10, "mac": B, "remote": HV1},
         f"remote = '{HV1}': must not be this VTEP's own address"),
        ("static_del", {"vni": 10, "mac": B}, f"mac = '{B}': no static row in vni 10"),
        ("events", {"initial": 1}, "initial = 1: must be true or false"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_cause_and_changes_nothing(
    do: str, arguments: dict[str, Any], words: str, vtep: FakeVtep, client: Peer
) -> None:
    assert client.refusal(do, **arguments).startswith(words)
    assert list(vtep.core.segments.by_vni) == [10] and vtep.groups == {GROUP}
    assert client.result("fdb") == []


def test_commands_do_not_raise_for_any_json_value(vtep: FakeVtep, client: Peer) -> None:
    values = [None, True, 0, -1, 1.5, 10**30, "", "x", [], [1], {}, {"a": 1}]
    keys = ["vni", "mac", "remote", "group", "vlan", "port", "inner_tags", "initial", "self"]
    names = list(commands.table(vtep))
    for do in names:
        for key in keys:
            for value in values:
                request = {"vni": 10, "mac": B, "remote": HV2, "group": GROUP, key: value}
                client.send(json.dumps({"do": do, **request}).encode() + b"\n")
                client.send(json.dumps({"do": do, key: value}).encode() + b"\n")
    answers = [each for each in client.receive() if "ok" in each]
    assert len(answers) == 2 * len(names) * len(keys) * len(values)
    assert client.ask("ready")["ok"]
    client.close()


# -- watching


def test_events_are_streamed_as_they_happen(vtep: FakeVtep, client: Peer) -> None:
    assert client.result("events") == {}
    vtep.from_port(frames.arp_request())
    vtep.from_underlay(HV2, frames.arp_reply())
    records = client.receive()
    assert [(each["decision"], each["why"]) for each in records] == [
        ("learned", "local"), ("flooded", "broadcast"),
        ("learned", "remote"), ("delivered", "flood"),
    ]  # fmt: skip
    assert {each["hypervisor"] for each in records} == {"hv1"}
    assert not any(each["initial"] for each in records)
    assert abs(records[0]["time_s"] - time.time()) < 60


def test_the_current_state_comes_first_if_requested(vtep: FakeVtep, client: Peer) -> None:
    vtep.from_underlay(HV2, frames.plain(B))
    client.send(b'{"do": "events", "initial": true}\n')
    vtep.from_port(frames.plain(A))
    answer, *records = client.receive()
    assert answer == {"ok": True, "result": {}}
    assert [(each["decision"], each["initial"]) for each in records] == [
        ("joined", True), ("learned", True), ("learned", False), ("flooded", False),
    ]  # fmt: skip
    assert (records[0]["group"], records[1]["mac"], records[1]["remote"]) == (GROUP, B, HV2)


def test_the_current_state_is_complete_even_if_it_is_large(
    vtep: FakeVtep, client: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2000):
        vtep.from_underlay(HV2, frames.plain(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"))
    monkeypatch.setattr("vtep.control._BACKLOG", 10_000)
    client.send(b'{"do": "events", "initial": true}\n')
    assert len(client.receive()) == 2002
    client.close()


def test_the_core_makes_events_only_while_a_client_reads_them(
    server: Server, vtep: FakeVtep
) -> None:
    first, second = Peer(server), Peer(server)
    assert not is_watched(vtep)
    first.result("events")
    second.result("events")
    first.close()
    assert is_watched(vtep)
    vtep.from_port(frames.plain(A))
    assert len(second.receive()) == 2
    second.close()
    assert not is_watched(vtep)


def test_a_connection_has_one_stream_at_most(vtep: FakeVtep, client: Peer) -> None:
    client.result("events")
    assert client.refusal("events") == "events: this connection already has them"
    vtep.from_port(frames.plain(A))
    assert len(client.receive()) == 2, "each event once"
    client.close()
    assert not is_watched(vtep)


def test_a_client_that_closes_before_the_answer_is_unsubscribed(
    server: Server, vtep: FakeVtep
) -> None:
    client = Peer(server)
    client.socket.send(b'{"do": "events", "initial": true}\n')
    client.close()
    assert not is_watched(vtep)


def test_requests_are_answered_between_events(vtep: FakeVtep, client: Peer) -> None:
    client.result("events")
    vtep.from_port(frames.plain(A))
    client.send(b'{"do": "ready"}\n')
    assert ["decision" in each for each in client.receive()] == [True, True, False]
    client.close()
