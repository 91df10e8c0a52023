"""Receiving many messages by one call, on a pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from vtep.recvmmsg import BATCH, ReceiveBatch

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        yield one, other


def read(batch: ReceiveBatch, receiver: socket.socket) -> list[tuple[bytes, int]]:
    """The waiting messages with their flags."""
    return [(bytes(data), flags) for data, _, _, flags in batch.receive(receiver.fileno())]


def test_messages_are_complete_and_in_order(pair: Pair) -> None:
    batch = ReceiveBatch(100, messages=4)
    for sent in ([b"a" * 100, b"", b"c"], [b"d" * 7]):  # buffers are used again
        for each in sent:
            pair[0].send(each)
        assert read(batch, pair[1]) == [(each, 0) for each in sent]


def test_messages_beyond_the_buffers_wait_for_the_next_call(pair: Pair) -> None:
    batch = ReceiveBatch(10, messages=2)
    for number in range(3):
        pair[0].send(bytes((number,)))
    assert read(batch, pair[1]) == [(b"\0", 0), (b"\1", 0)]
    assert read(batch, pair[1]) == [(b"\2", 0)]


def test_a_truncated_message_is_flagged(pair: Pair) -> None:
    pair[0].send(b"x" * 11)
    assert read(ReceiveBatch(10), pair[1]) == [(b"x" * 10, socket.MSG_TRUNC)]


def test_without_messages_the_call_would_block(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        read(ReceiveBatch(10), pair[1])


def test_an_error_of_the_socket_is_raised(pair: Pair) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        list(ReceiveBatch(10).receive(-1))


def test_addresses_and_control_data_are_received() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x28)
            for _ in range(BATCH):
                sender.sendto(b"x", receiver.getsockname())
            found = list(ReceiveBatch(10).receive(receiver.fileno()))
            sport = sender.getsockname()[1]
    assert len(found) == BATCH
    for _, name, control, _ in found:
        assert bytes(name[4:8]) == bytes((127, 0, 0, 1))
        assert int.from_bytes(name[2:4], "big") == sport
        assert control[16] == 0x28  # behind its header
