"""Packets on a lab's links, recorded while a test acts."""

from __future__ import annotations

import os
import socket
import traceback
from collections import deque
from collections.abc import Iterable
from typing import NoReturn

from vxlab.capture.decode import Encapsulated, encapsulated, one_line
from vxlab.capture.packets import Capture, CapturedPacket, drain
from vxlab.lab.captures import open_captures
from vxlab.lab.handle import Lab
from vxlab.testing.forked import fork
from vxlab.testing.polling import until_unchanged

_LONGEST_LIST = 1 << 16  # bytes of the names that go with the sockets
_MOST_SOCKETS = 250  # the kernel's limit for one message is 253 (SCM_MAX_FD)

Target = tuple[str, str | None]


def parse_target(text: str) -> Target:
    """`NODE:INTERFACE`, or `NODE` for all of its links."""
    node, _, interface = text.partition(":")
    return node, interface or None


def open_in_child(lab: Lab, targets: Iterable[Target]) -> list[Capture]:
    """Open captures in a child process, which passes the sockets on.

    To open them a process enters the lab's user namespace for good; the test run must not, since it
    may use other labs later.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = fork()
        if child == 0:
            _send_captures(lab, targets, theirs)
        theirs.close()
        received, fds, _, _ = socket.recv_fds(ours, _LONGEST_LIST, _MOST_SOCKETS)
        os.waitpid(child, 0)
    text = received.decode()
    assert fds, f"cannot capture: {text or 'the capturing process failed'}"
    places = [line.partition(" ") for line in text.splitlines()]
    return [_capture(node, name, fd) for (node, _, name), fd in zip(places, fds, strict=True)]


def _send_captures(lab: Lab, targets: Iterable[Target], peer: socket.socket) -> NoReturn:
    try:
        captures = open_captures(lab, targets)
        text = "\n".join(f"{capture.node} {capture.interface}" for capture in captures)
        socket.send_fds(peer, [text.encode()], [capture.socket.fileno() for capture in captures])
    except Exception:
        peer.send(traceback.format_exc().encode()[-_LONGEST_LIST:])
    finally:
        os._exit(0)


def _capture(node: str, interface: str, fd: int) -> Capture:
    """A capture on a socket that another process has opened and bound."""
    capture = object.__new__(Capture)
    capture.node, capture.interface, capture.socket = node, interface, socket.socket(fileno=fd)
    return capture


class Recording:
    """The packets of some links since the recording began, oldest first.

    limit: how many of the latest are kept; all of them by default.
    """

    def __init__(self, lab: Lab, targets: Iterable[Target], limit: int | None = None) -> None:
        self.captures = open_in_child(lab, targets)
        self.seen: deque[CapturedPacket] = deque(maxlen=limit)

    def look(self) -> list[CapturedPacket]:
        """Read what has arrived; returns all packets of the recording."""
        self.seen.extend(drain(self.captures))
        return list(self.seen)

    def vxlan(self, interface: str, direction: int | None = None) -> list[Encapsulated]:
        """The VXLAN packets that an interface carried, of one direction if given."""
        chosen = [
            packet
            for packet in self.look()
            if packet.interface == interface and direction in (None, packet.direction)
        ]
        return [found for found in map(encapsulated, chosen) if found is not None]

    def marked(self, mark: bytes) -> list[CapturedPacket]:
        """The packets that contain these bytes."""
        return [packet for packet in self.look() if mark in packet.data]

    def send(self, interface: str, frame: bytes) -> None:
        """Send a frame on a recorded interface, as the node itself would.

        This recording does not see the frame leave. AssertionError if the interface is down.
        """
        try:
            next(capture for capture in self.captures if capture.interface == interface).send(frame)
        except OSError as error:
            raise AssertionError(f"{interface}: cannot send: {error.strerror}") from None

    def settle(self, mark: bytes = b"", within: float = 5.0) -> None:
        """Wait until no more packets that contain `mark` arrive; no packets at all by default."""
        until_unchanged(lambda: len(self.marked(mark)), samples=4, within=within)

    def lines(self, last: int) -> list[str]:
        """The latest packets, one decoded line each, as `vxlab capture` prints them."""
        return [one_line(packet) for packet in self.look()[-last:]]

    def close(self) -> None:
        """Close the sockets."""
        for capture in self.captures:
            capture.socket.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
