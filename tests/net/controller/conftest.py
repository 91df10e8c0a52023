"""Fixtures: one real switch and a controller, for one framework and one address family."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.net.controller.one_switch import IPV4, Family, OneSwitch
from tests.support.ovs_sandbox import OvsSandbox


@pytest.fixture
def framework() -> str:
    """Ryu, unless a test is parametrised: the decisions do not depend on it."""
    return "ryu"


@pytest.fixture
def family() -> Family:
    """IPv4, unless a test or a module is parametrised."""
    return IPV4


@pytest.fixture
def one_switch(framework: str, family: Family) -> Iterator[OneSwitch]:
    """A running controller to which the switch has connected."""
    with OvsSandbox() as sandbox:
        sandbox.start_controller(framework)
        sandbox.await_listening()
        sandbox.add_switch("s1", 1)
        hosts = [sandbox.add_host(f"h{n}", "s1", f"{family.prefix}{n}") for n in (1, 2, 3)]
        sandbox.await_ready()
        yield OneSwitch(sandbox, hosts, family.group, framework)
        assert "Traceback" not in sandbox.log_tail()
