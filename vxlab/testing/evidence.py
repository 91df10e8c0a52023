"""What a failure shows and what it leaves in files: tables, packets, events, logs, flows."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vxlab.capture.pcapng import save
from vxlab.cli.watch import event_line
from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.testing.commands import vxlab
from vxlab.testing.lab import RunningLab, StartFailed
from vxlab.testing.recording import Recording

PACKETS_SHOWN = 20
EVENTS_SHOWN = 30


class EventWatch:
    """The decisions of a lab's agents while it is open, preceded by the state they started from.

    An agent that is watched makes all decisions itself: the eBPF data path is idle meanwhile. A
    check that passes is therefore never watched.
    """

    def __init__(self, lab: RunningLab) -> None:
        self._streams: list[rpc.Subscription] = []
        self._seen: list[dict[str, Any]] = []
        directory = lab.handle.directory
        for name in lab.handle.hypervisors():
            with contextlib.suppress(LabError):  # its agent has failed, or its kind has no events
                path = directory.agent_socket(name)
                self._streams.append(rpc.Subscription(path, "events", initial=True))

    def lines(self, last: int) -> list[str]:
        """The latest events of all agents in order of time, one line each."""
        for stream in self._streams:
            self._seen += stream.receive() or []
        ordered = sorted(self._seen, key=lambda event: float(event.get("time_s", 0)))
        return [event_line(event) for event in ordered[-last:]]

    def close(self) -> None:
        """End the subscriptions."""
        for stream in self._streams:
            stream.close()

    def __enter__(self) -> EventWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def report(
    lab: RunningLab, headline: str, packets: Recording | None, watch: EventWatch | None
) -> str:
    """The text of a failed assertion: what failed, the tables, the packets and the events."""
    table = vxlab("fdb", "--lab", lab.name)
    lines = [headline, "", "tables (vxlab fdb):", table.stdout + table.stderr]
    if packets is not None:
        lines += [f"packets on the underlay, the latest {PACKETS_SHOWN}:"]
        lines += packets.lines(PACKETS_SHOWN) or ["none"]
    if watch is not None:
        lines += ["", f"events of the VTEPs, the latest {EVENTS_SHOWN}:"]
        lines += watch.lines(EVENTS_SHOWN) or ["none"]
    return "\n".join(lines)


def keep(lab: RunningLab, folder: Path) -> None:
    """Write a lab's logs, tables, flows and latest packets into `folder`, which is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for log in sorted((lab.handle.directory.path / "log").glob("*.log")):
        shutil.copy(log, folder)
    for command in ("fdb", "groups", "stats"):
        done = vxlab(command, "--lab", lab.name, "--json")
        (folder / f"{command}.json").write_text(done.stdout + done.stderr)
    (folder / "nodes.json").write_text(json.dumps(lab.handle.nodes(), indent=1))
    for switch, flows in _flows(lab):
        (folder / f"{switch}-flows.txt").write_text(flows)
    if lab.latest is not None:
        save(folder / "underlay.pcapng", lab.latest.look())


def _flows(lab: RunningLab) -> Iterator[tuple[str, str]]:
    for row in lab.handle.nodes("switch"):
        switch = row["name"]
        done = lab.try_run(switch, "ovs-ofctl", "-OOpenFlow13", "dump-flows", switch)
        yield switch, done.stdout + done.stderr


def keep_failed_start(failure: StartFailed, folder: Path) -> None:
    """Write the logs of a lab that did not start into `folder`, which is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in failure.logs.items():
        (folder / name).write_text(text)
