"""Commands that watch a lab while it runs: capture, events, demo."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
from collections.abc import Iterator
from typing import Any

import click

from vxlab.capture.packets import Capture, CapturedPacket, follow
from vxlab.cli import complete
from vxlab.cli.choose import find_alive, lab_option, parse_settings, set_option
from vxlab.control import rpc
from vxlab.errors import LabError, UsageError
from vxlab.lab.captures import open_captures
from vxlab.lab.handle import Lab


@click.command()
@lab_option
@click.argument("targets", nargs=-1, metavar="[NODE[:INTF]]...", shell_complete=complete.targets)
@click.option("--all", "all_", is_flag=True, help="Capture on all links of all nodes.")
@click.option("--filter", "expression", metavar="EXPR", help="Capture filter, as in tcpdump.")
@click.option("-w", "--write", metavar="FILE", help="Write a pcapng file; - is stdout.")
@click.option("-c", "--count", type=click.IntRange(1), help="Stop after COUNT packets.")
def capture(
    lab: str | None,
    targets: tuple[str, ...],
    all_: bool,
    expression: str | None,
    write: str | None,
    count: int | None,
) -> None:
    """Capture packets on links of nodes.

    Without -w each packet is printed as one decoded line; with -w the file has interface names
    and time stamps in nanoseconds. Ctrl-C or SIGTERM stops the capture; packets that have arrived
    by then are still written.

    EXPR is an expression of libpcap, for example 'udp port 4789' or 'arp or icmp'.

    `ssh host vxlab capture hv1 -w - | wireshark -k -i -` shows the packets live in Wireshark.
    """
    if bool(targets) == all_:
        raise UsageError("capture: give one or more NODE[:INTF], or --all")
    found = find_alive(lab)
    captures = open_captures(found, _pairs(found, targets), expression)
    stop = _stop_on_signals()
    captured_packets = _first(count, follow(captures, stop=stop))
    if write:
        _record(write, captured_packets, captures)
    else:
        _print(captured_packets)


def _pairs(lab: Lab, targets: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """Targets as (node, interface); all nodes where none is given."""
    texts = targets or [row["name"] for row in lab.nodes()]
    return [(node, interface or None) for node, _, interface in (t.partition(":") for t in texts)]


def _stop_on_signals() -> int:
    """A descriptor that becomes readable on SIGINT or SIGTERM; a second one ends the command.

    A handler that raised an exception could do so in the middle of writing a packet.
    """
    readable, writable = os.pipe()

    def stop(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        os.write(writable, b"x")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return readable


def _first(
    count: int | None, captured_packets: Iterator[CapturedPacket]
) -> Iterator[CapturedPacket]:
    for number, captured in enumerate(captured_packets, start=1):
        yield captured
        if number == count:
            return


def _announce_capture() -> None:
    """Report on stderr that packets from now on are captured."""
    print("vxlab: capturing, Ctrl-C ends", file=sys.stderr, flush=True)


def _record(path: str, captured_packets: Iterator[CapturedPacket], captures: list[Capture]) -> None:
    # lazy: only -w needs it
    from vxlab.capture.pcapng import Recorder

    recorder = Recorder(path)
    _announce_capture()
    written = 0
    try:
        for captured in captured_packets:
            recorder.write(captured)
            written += 1
    finally:
        recorder.close()
        dropped = sum(capture.dropped() for capture in captures)
        lost = f", {dropped} dropped by the kernel (buffer full)" if dropped else ""
        print(f"vxlab: {written} packets{lost}", file=sys.stderr)


def _print(captured_packets: Iterator[CapturedPacket]) -> None:
    # lazy: Scapy costs 0.3 s, and other commands do not need it
    from vxlab.capture.decode import one_line

    _announce_capture()
    for captured in captured_packets:
        print(one_line(captured), flush=True)


@click.command()
@lab_option
@click.argument("hypervisor", required=False, shell_complete=complete.hypervisors)
@click.option("--json", "json_", is_flag=True, help="Print JSON lines.")
@click.option("--initial-state", is_flag=True, help="Print existing groups and entries first.")
def events(lab: str | None, hypervisor: str | None, json_: bool, initial_state: bool) -> None:
    """Print decisions of the VTEP agents as they happen.

    Ctrl-C ends it.
    """
    found = find_alive(lab)
    found.hypervisors(hypervisor)  # a wrong name is an error before anything is printed
    show = json.dumps if json_ else event_line
    print("vxlab: listening, Ctrl-C ends", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        for event in stream_events(found, hypervisor, initial_state):
            print(show(event), flush=True)


def stream_events(lab: Lab, only: str | None, initial: bool) -> Iterator[dict[str, Any]]:
    """The events of all agents as they happen, until the last agent has ended."""
    with selectors.DefaultSelector() as selector:
        for name in lab.hypervisors(only):
            try:
                path = lab.directory.agent_socket(name)
                peer = rpc.Subscription(path, "events", initial=initial)
            except LabError as error:  # it has failed, or its kind reports no events
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
    """One event as one line of text."""
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
@click.argument("topology", default="three_vteps", shell_complete=complete.topologies)
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
