"""GSO over the loopback interface: a run is received like packets that are sent one by one."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from typing import Any, cast

import pytest

from vtep.config import parse
from vtep.drops import DropReason
from vtep.underlay import gso_sender
from vtep.underlay.base import Underlay
from vtep.underlay.gso_sender import GsoSender, kernel_supports_gso, open_gso_sender
from vtep.wire import complete_checksum, encapsulate, outer_header

pytestmark = pytest.mark.skipif(not kernel_supports_gso(), reason="this kernel cuts no UDP")

LOOPBACK = "127.0.0.1"
_TTL, _TOS = 9, 0x28
_IP_RECVTTL = 12


class Loopback:
    """An underlay without a raw socket: it records what would have been sent."""

    def __init__(self) -> None:
        self.alone: list[bytes] = []
        self.opened: list[socket.socket] = []
        self.answer: DropReason | None = None
        self.offloads: bool | None = True  # None: they cannot be disabled

    def open(self, kind: int, protocol: int) -> socket.socket:
        self.opened.append(socket.socket(socket.AF_INET, kind, protocol))
        return self.opened[-1]

    def prepare_sender(self, sender: socket.socket) -> None:
        pass

    def marks(self, packet: bytearray) -> list[tuple[int, int, bytes]]:
        return [
            (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", packet[8])),
            (socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", packet[1])),
        ]

    def send(self, destination: str, packet: bytearray) -> DropReason | None:
        self.alone.append(bytes(packet))
        return self.answer

    def without_send_offloads(self) -> None:
        if self.offloads is None:
            raise PermissionError
        self.offloads = False

    def close(self) -> None:
        pass


def uses_gso(underlay: Loopback, *said: str, local: str = LOOPBACK) -> bool:
    """Whether an agent with this configuration uses GSO."""
    text = "\n".join(["[underlay]", 'interface = "a"', f'local = "{local}"', *said, _PORT])
    return open_gso_sender(parse(text).underlay, cast(Underlay, cast(Any, underlay))) is not None


_PORT = '[[port]]\ninterface = "b"'


class Bed:
    """A receiver, and a sender to it."""

    def __init__(self, receiver: socket.socket) -> None:
        self.receiver, self.underlay = receiver, Loopback()
        self.port = receiver.getsockname()[1]
        self.sender = GsoSender(cast(Underlay, cast(Any, self.underlay)), LOOPBACK, self.port)
        self._header = outer_header(LOOPBACK, LOOPBACK, 10, _TTL, self.port)

    def packets(self, sport: int, number: int, size: int = 60) -> list[bytearray]:
        return [
            encapsulate(self._header, bytes((each,)) * size, sport, False, _TOS)
            for each in range(number)
        ]

    def send(self, packets: list[bytearray]) -> list[DropReason | None]:
        return list(self.sender.send_run(LOOPBACK, packets))

    def received(self) -> list[tuple[bytes, int]]:
        """The received datagrams with their source ports; the loopback interface has no delay."""
        found = []
        while select.select([self.receiver], [], [], 0)[0]:
            data, (_, sport) = self.receiver.recvfrom(2048)
            found.append((data, sport))
        return found


@pytest.fixture
def bed() -> Iterator[Bed]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((LOOPBACK, 0))
        made = Bed(receiver)
        yield made
        made.sender.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def completed(packets: list[bytearray]) -> list[bytes]:
    copies = [bytearray(packet) for packet in packets]
    for packet in copies:
        complete_checksum(packet)
    return [bytes(packet) for packet in copies]


def test_a_run_is_received_as_single_datagrams(bed: Bed) -> None:
    sport = free_port()
    packets = [*bed.packets(sport, 20), *bed.packets(sport, 1, size=14)]
    assert bed.send(packets) == [None] * 21
    assert bed.received() == [(bytes(packet[28:]), sport) for packet in packets]
    assert bed.underlay.alone == []


def test_ttl_and_tos_are_those_of_the_packets(bed: Bed) -> None:
    bed.receiver.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
    bed.receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    bed.send(bed.packets(free_port(), 8))
    _, control, _, _ = bed.receiver.recvmsg(2048, 200)
    assert {kind: data[0] for _, kind, data in control} == {
        socket.IP_TTL: _TTL,
        socket.IP_TOS: _TOS,
    }


def test_a_short_run_opens_no_socket_but_uses_an_open_one(bed: Bed) -> None:
    sport = free_port()
    few = bed.packets(sport, 3)
    assert bed.send(few) == [None] * 3
    assert bed.underlay.alone == completed(bed.packets(sport, 3))
    bed.send(bed.packets(sport, 8))
    bed.send(bed.packets(sport, 2))
    assert len(bed.received()) == 10
    assert len(bed.underlay.alone) == 3
    assert len(bed.underlay.opened) == 1


def test_a_single_packet_is_sent_by_the_raw_socket(bed: Bed) -> None:
    sport = free_port()
    bed.send(bed.packets(sport, 8))
    bed.send(bed.packets(sport, 1))
    assert bed.underlay.alone == completed(bed.packets(sport, 1))


def test_a_source_port_of_another_program_is_not_used(bed: Bed) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, 0))
        sport = other.getsockname()[1]
        for _ in range(2):
            assert bed.send(bed.packets(sport, 8)) == [None] * 8
    assert bed.underlay.alone == completed(bed.packets(sport, 8)) * 2
    assert len(bed.underlay.opened) == 1  # and not tried again for each run
    assert bed.received() == []


def test_a_run_that_the_kernel_refuses_is_sent_one_by_one_with_results(bed: Bed) -> None:
    bed.underlay.answer = DropReason.TOO_BIG
    too_much = bed.packets(free_port(), 8, size=20_000)
    assert bed.send(too_much) == [DropReason.TOO_BIG] * 8
    assert len(bed.underlay.alone) == 8


def test_the_number_of_open_sockets_is_limited(bed: Bed) -> None:
    sports = [free_port() for _ in range(70)]
    for sport in sports:
        bed.send(bed.packets(sport, 8))
    held = [each for each in bed.underlay.opened if each.fileno() >= 0]
    assert len(held) <= 64
    assert bed.underlay.opened[-1] in held
    bed.sender.close()
    assert all(each.fileno() < 0 for each in bed.underlay.opened)


def test_a_sending_socket_receives_nothing(bed: Bed) -> None:
    sport = free_port()
    bed.send(bed.packets(sport, 8))
    (sender,) = bed.underlay.opened
    bed.receiver.sendto(b"to nobody", (LOOPBACK, sport))
    assert select.select([sender], [], [], 0)[0] == []


@pytest.mark.parametrize(
    ("said", "local", "runs"),
    [
        ((), LOOPBACK, False),
        ((), "::1", True),
        (("udp_checksum = false",), "::1", False),
        (("udp_checksum = true",), LOOPBACK, True),
        (("udp_checksum = true", "df = false"), LOOPBACK, False),
    ],
)
def test_gso_is_used_if_checksums_are_computed(
    said: tuple[str, ...], local: str, runs: bool
) -> None:
    underlay = Loopback()
    assert uses_gso(underlay, *said, local=local) == runs
    assert underlay.offloads


def test_with_offload_off_the_kernel_segments_before_the_nic() -> None:
    underlay = Loopback()
    assert uses_gso(underlay, "offload = false", local="::1")
    assert underlay.offloads is False


def test_gso_is_not_used_if_the_nics_offloads_cannot_be_disabled() -> None:
    underlay = Loopback()
    underlay.offloads = None
    assert not uses_gso(underlay, "offload = false", local="::1")


def test_gso_is_not_used_if_the_kernel_does_not_support_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gso_sender, "kernel_supports_gso", lambda: False)
    assert not uses_gso(Loopback(), local="::1")
