"""Commands that watch a lab live: capture, events, demo."""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import sys
from collections.abc import Iterator
from typing import Any

import click

from vxlab.capture.packets import CapturedPacket, follow
from vxlab.cli.manage import find_alive, lab_option, parse_settings, set_option
from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.lab.captures import open_captures
from vxlab.lab.handle import Lab


@click.command()
@lab_option
@click.argument("targets", nargs=-1, required=True, metavar="NODE[:INTF]...")
@click.option("-w", "--write", metavar="FILE", help="Write a pcapng; - is stdout.")
@click.option("-c", "--count", type=click.IntRange(1), help="End after so many packets.")
def capture(
    lab: str | None, targets: tuple[str, ...], write: str | None, count: int | None
) -> None:
    """Capture on nodes' links, to see or to a pcapng.

    With -w the packets go to a file, with interface names; else each is decoded in a line.
    `ssh host vxlab capture hv1 -w - | wireshark -k -i -` shows it live.
    """
    found = find_alive(lab)
    pairs = [
        (node, interface or None) for node, _, interface in (t.partition(":") for t in targets)
    ]
    captures = open_captures(found, pairs)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("vxlab: capturing, Ctrl-C ends", file=sys.stderr, flush=True)
    captured_packets = _first(count, follow(captures))
    with contextlib.suppress(KeyboardInterrupt):
        if write:
            _record(write, captured_packets)
        else:
            _print(captured_packets)


def _first(
    count: int | None, captured_packets: Iterator[CapturedPacket]
) -> Iterator[CapturedPacket]:
    for number, captured in enumerate(captured_packets, start=1):
        yield captured
        if number == count:
            return


def _record(path: str, captured_packets: Iterator[CapturedPacket]) -> None:
    # lazy: Scapy costs 0.3 s, and other commands do without it
    from vxlab.capture.pcapng import Recorder

    try:
        recorder = Recorder(path)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from error
    written = 0
    try:
        for captured in captured_packets:
            recorder.write(captured)
            written += 1
    finally:
        recorder.close()
        print(f"vxlab: {written} packets", file=sys.stderr)


def _print(captured_packets: Iterator[CapturedPacket]) -> None:
    # lazy: as above
    from vxlab.capture.decode import one_line

    for captured in captured_packets:
        print(one_line(captured), flush=True)


@click.command()
@lab_option
@click.argument("hypervisor", required=False)
@click.option("--json", "json_", is_flag=True, help="JSON lines instead of text.")
@click.option("--initial-state", is_flag=True, help="First what holds already: groups and rows.")
def events(lab: str | None, hypervisor: str | None, json_: bool, initial_state: bool) -> None:
    """The agents' decisions as they happen, until Ctrl-C."""
    found = find_alive(lab)
    show = json.dumps if json_ else event_line
    print("vxlab: listening, Ctrl-C ends", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        for event in stream_events(found, hypervisor, initial_state):
            print(show(event), flush=True)


def stream_events(lab: Lab, only: str | None, initial: bool) -> Iterator[dict[str, Any]]:
    """The events of all agents as they come, until the last agent is gone."""
    with selectors.DefaultSelector() as selector:
        for name in lab.hypervisors(only):
            try:
                path = lab.directory.agent_socket(name)
                peer = rpc.Subscription(path, "events", initial=initial)
            except LabError as error:  # dead, or of a kind that tells nothing
                print(f"vxlab: {name}: {error}", file=sys.stderr)
                continue
            selector.register(peer, selectors.EVENT_READ, peer)
            yield from peer.receive() or []
        while selector.get_map():
            for key, _ in selector.select():
                arrived = key.data.receive()
                if arrived is None:
                    selector.unregister(key.fileobj)
                else:
                    yield from arrived


def event_line(event: dict[str, Any]) -> str:
    """One event as a line for a person."""
    if event["decision"] == "lost":
        return f"lost {event['count']} records: the reader was too slow"
    words = [f"{event['time_s']:.6f}", event["hypervisor"], event["decision"]]
    words += [f"{key} {event[key]}" for key in ("vni", "vlan", "mac") if event[key] is not None]
    # A packet that the underlay refused was on its way out; other dropped packets were received.
    refused = event["why"].startswith("underlay_")
    received = event["decision"] == "delivered" or (event["decision"] == "dropped" and not refused)
    arrow = "<-" if received else "->"
    words += [f"{arrow} {event[key]}" for key in ("group", "remote") if event[key] is not None]
    words.append(f"({event['why']})")
    if event["frame"]:
        words.append(event["frame"]["summary"])
    if failed := event.get("failed"):
        copies = ", ".join(f"{each['remote']} {each['reason']}" for each in failed)
        words.append(f"failed: {copies}")
    return " ".join(words)


@click.command()
@click.argument("topology", default="three_vteps")
@set_option
@click.option("--json", "json_", is_flag=True, help="Print the steps as one JSON document.")
@click.option("-w", "--write", metavar="FILE", help="Write all captured packets to a pcapng file.")
def demo(topology: str, settings: tuple[str, ...], json_: bool, write: str | None) -> None:
    """Show VXLAN flood and learn in eight steps, with evidence.

    Starts a lab of its own, verifies each step by captured packets and the VTEPs' tables, and
    takes the lab down. Exit status 1 if a step fails.
    """
    # lazy: Scapy, as above
    from vxlab.demo.run import run_demo

    sys.exit(run_demo(topology, parse_settings(settings), json_, write))


WATCH_COMMANDS: list[click.Command] = [capture, events, demo]
