"""Address tables of the switches."""

from __future__ import annotations

import pytest

from controller.switching import REWRITE_S, Switching, learnable
from tests.support.flowtable import mac


@pytest.mark.parametrize("address", [bytes(6), b"\xff" * 6, bytes.fromhex("01005e000001"), b""])
def test_group_and_empty_addresses_are_never_learned(address: bytes) -> None:
    assert not learnable(address)
    assert learnable(mac(1))


def test_an_address_is_news_once_for_each_port() -> None:
    table = Switching()
    assert table.learn(1, mac(1), 3, 0.0)
    assert not table.learn(1, mac(1), 3, 0.1)
    assert table.learn(1, mac(1), 4, 0.2)
    assert table.port(1, mac(1)) == 4 and table.port(2, mac(1)) is None


def test_a_switch_that_asks_again_later_has_lost_the_flow() -> None:
    table = Switching()
    table.learn(1, mac(1), 3, 0.0)
    assert table.learn(1, mac(1), 3, REWRITE_S)


def test_an_old_port_idling_out_does_not_remove_a_moved_address() -> None:
    table = Switching()
    table.learn(1, mac(1), 3, 0.0)
    table.learn(1, mac(1), 4, 0.0)
    assert not table.forget(1, mac(1), 3)
    assert table.forget(1, mac(1), 4)
    assert list(table.hosts(1)) == []


def test_a_port_takes_its_addresses_with_it() -> None:
    table = Switching()
    for number, port in ((1, 3), (2, 3), (3, 4)):
        table.learn(1, mac(number), port, 0.0)
    assert table.forget_port(1, 3) == [mac(1), mac(2)]
    assert list(table.hosts(1)) == [(mac(3), 4)]
