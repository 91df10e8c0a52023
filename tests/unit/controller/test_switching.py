"""The MAC address tables of the switches."""

from __future__ import annotations

import pytest

from controller.switching import REWRITE_S, Switching, learnable
from tests.support.flowtable import mac


@pytest.mark.parametrize("address", [bytes(6), b"\xff" * 6, bytes.fromhex("01005e000001"), b""])
def test_group_and_empty_addresses_are_never_learned(address: bytes) -> None:
    assert not learnable(address)
    assert learnable(mac(1))


def test_an_address_is_learned_once_at_each_port() -> None:
    table = Switching()
    assert table.learn(1, mac(1), 3, 0.0)
    assert not table.learn(1, mac(1), 3, 0.1)
    assert table.learn(1, mac(1), 4, 0.2)
    assert table.port(1, mac(1)) == 4 and table.port(2, mac(1)) is None


def test_a_later_packet_in_means_that_the_switch_lost_the_flow() -> None:
    table = Switching()
    table.learn(1, mac(1), 3, 0.0)
    assert table.learn(1, mac(1), 3, REWRITE_S)


def test_a_flow_that_idles_out_at_the_old_port_does_not_remove_a_moved_address() -> None:
    table = Switching()
    table.learn(1, mac(1), 3, 0.0)
    table.learn(1, mac(1), 4, 0.0)
    assert not table.forget(1, mac(1), 3)
    assert table.forget(1, mac(1), 4)
    assert list(table.hosts(1)) == []


def test_a_port_that_goes_down_loses_its_addresses() -> None:
    table = Switching()
    for number, port in ((1, 3), (2, 3), (3, 4)):
        table.learn(1, mac(number), port, 0.0)
    assert table.forget_port(1, 3) == [mac(1), mac(2)]
    assert list(table.hosts(1)) == [(mac(3), 4)]
