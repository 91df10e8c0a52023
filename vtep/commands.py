"""The commands of the control socket: a table from name to function, for one VTEP.

Results have the shapes of `vxlab ... --json`. Each command gets the client and named arguments. It
returns a result, or None if it has sent an answer itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from vtep import checks, config
from vtep.checks import ConfigError
from vtep.control import Client, Commands, Refused
from vtep.core import Core
from vtep.data_path import DataPath
from vtep.effects import Decision, PortId
from vtep.errors import StartError
from vtep.ethernet import mac_text
from vtep.events import Event
from vtep.reporting import Reporter
from vtep.segments import Segment, SegmentSpec, SegmentTaken


class Vtep(Protocol):
    """What the commands use of an agent."""

    name: str
    core: Core
    ports: tuple[str, ...]
    data_path: DataPath
    reporter: Reporter

    def carry_out(self, decision: Decision) -> None:
        """Carry out a decision of the core."""

    def kernel_groups(self) -> set[str]:
        """The groups that the kernel has joined."""

    def stop(self) -> None:
        """Stop after the current round of the loop."""


def table(vtep: Vtep) -> Commands:
    """All commands of one VTEP."""
    commands = _Commands(vtep)
    return {
        "ready": commands.ready,
        "fdb": commands.fdb,
        "groups": commands.groups,
        "stats": commands.stats,
        "flush": commands.flush,
        "vni_add": commands.vni_add,
        "vni_del": commands.vni_del,
        "static_add": commands.static_add,
        "static_del": commands.static_del,
        "events": commands.events,
        "stop": commands.stop,
    }


class _Commands:
    def __init__(self, vtep: Vtep) -> None:
        self._vtep = vtep
        self._core = vtep.core

    # -- state

    def ready(self, _client: Client) -> dict[str, Any]:
        vnis = len(self._core.segments.by_vni)
        return {
            "name": self._vtep.name,
            "ready": True,
            "vnis": vnis,
            "pid": os.getpid(),
            "datapath": self._vtep.data_path.name,
            "datapath_why": self._vtep.data_path.reason,
        }

    def fdb(self, _client: Client, vni: int | None = None) -> list[dict[str, Any]]:
        now = time.monotonic()
        return [
            self._row(segment, mac, now)
            for segment in sorted(self._chosen(vni), key=lambda segment: segment.vni)
            for mac in sorted(segment.fdb.rows)
        ]

    def _row(self, segment: Segment, mac: bytes, now: float) -> dict[str, Any]:
        row = segment.fdb.rows[mac]
        port = None
        if row.port is not None:
            port = f"vlan {segment.vlan}" if segment.vlan else self._vtep.ports[row.port]
        return {
            "hypervisor": self._vtep.name,
            "vni": segment.vni,
            "mac": mac_text(mac),
            "remote": row.remote,
            "port": port,
            "kind": row.kind,
            "age_s": round(max(0.0, now - segment.fdb.seen_s(mac, row)), 3),
        }

    def groups(self, _client: Client) -> list[dict[str, Any]]:
        joined = self._vtep.kernel_groups()
        return [
            {"vni": vni, "group": segment.group, "joined": segment.group in joined}
            for vni, segment in sorted(self._core.segments.by_vni.items())
            if segment.group is not None
        ]

    def stats(self, _client: Client) -> list[dict[str, Any]]:
        self._core.segments.count()
        named = [(vni, s.counters) for vni, s in sorted(self._core.segments.by_vni.items())]
        return [
            {"hypervisor": self._vtep.name, "vni": vni, **counters.as_json()}
            for vni, counters in [*named, (None, self._core.unassigned_counters)]
        ]

    def _chosen(self, vni: int | None) -> Iterable[Segment]:
        return self._core.segments.by_vni.values() if vni is None else [self._segment(vni)]

    def _segment(self, vni: int) -> Segment:
        try:
            return self._core.segments.by_vni[_checked(checks.vni, "vni", vni)]
        except KeyError:
            raise Refused(f"vni = {vni!r}: this VTEP has no such VNI") from None

    # -- changes

    def flush(
        self, _client: Client, vni: int | None = None, mac: str | None = None
    ) -> dict[str, Any]:
        chosen = None if mac is None else _checked(checks.mac, "mac", mac)
        if vni is not None:
            self._segment(vni)
        removed, events = self._core.flush(vni, chosen, time.monotonic())
        self._vtep.reporter.report(events)
        return {"removed": removed}

    def vni_add(self, _client: Client, /, **row: Any) -> dict[str, Any]:
        try:
            segment = config.segment(row, self._vtep.ports)
            if segment.port not in self._vtep.ports:
                raise checks.must_be("port", segment.port, " or ".join(self._vtep.ports))
            port = PortId(self._vtep.ports.index(segment.port))
            decision = self._core.add_segment(segment_spec(segment, port), time.monotonic())
            self._vtep.carry_out(decision)
        except StartError as error:
            _, events = self._core.remove_segment(segment.vni, time.monotonic())
            self._vtep.reporter.report(events)
            raise Refused(str(error)) from None
        except (ConfigError, SegmentTaken) as error:
            raise Refused(str(error)) from None
        return {}

    def vni_del(self, _client: Client, vni: int) -> dict[str, Any]:
        self._segment(vni)
        self._vtep.carry_out(self._core.remove_segment(vni, time.monotonic()))
        return {}

    def static_add(
        self, _client: Client, vni: int, mac: str, remote: str, add: bool = False
    ) -> dict[str, Any]:
        self._segment(vni)
        checked = _checked(checks.mac, "mac", mac), _checked(checks.address, "remote", remote)
        if remote == self._core.options.local:
            raise Refused(f"remote = {remote!r}: must not be this VTEP's own address")
        self._core.set_static(vni, *checked, time.monotonic(), add)
        return {}

    def static_del(self, _client: Client, vni: int, mac: str) -> dict[str, Any]:
        if not self._segment(vni).fdb.remove_static(_checked(checks.mac, "mac", mac)):
            raise Refused(f"mac = {mac!r}: no static row in vni {vni}")
        return {}

    def stop(self, _client: Client) -> dict[str, Any]:
        self._vtep.stop()
        return {}

    # -- events

    def events(self, client: Client, initial: bool = False) -> None:
        """Stream events to the client until it leaves."""
        if client.on_close is not None:
            raise Refused("events: this connection already has them")
        initial_first = _checked(checks.flag, "initial", initial)
        name, offset = self._vtep.name, time.time() - time.monotonic()

        def send(event: Event) -> None:
            client.stream(lambda: event.as_json(name, offset, False))

        self._vtep.reporter.subscribe(send)
        client.on_close = lambda: self._vtep.reporter.unsubscribe(send)
        client.send({"ok": True, "result": {}})
        if initial_first:
            for event in self._core.segments.current_state(time.monotonic()):
                client.send(event.as_json(name, offset, True))


def segment_spec(segment: config.SegmentConfig, port: PortId) -> SegmentSpec:
    """The core's form of a configured segment."""
    return SegmentSpec(
        vni=segment.vni,
        port=port,
        vlan=segment.vlan,
        group=segment.group,
        remotes=segment.remotes,
        carry_tags=segment.carry_tags,
        suppress_arp=segment.suppress_arp,
    )


def _checked(check: Callable[[str, object], Any], key: str, value: object) -> Any:
    try:
        return check(key, value)
    except ConfigError as error:
        raise Refused(str(error)) from None
