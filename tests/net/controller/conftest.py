"""One real switch with three hosts and a controller, for one framework and one address family.

h1 .11 --- s1 --- h2 .12      192.0.2.0/24 or 2001:db8::/64
            |
           h3 .13
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.ovs_sandbox import Host, OvsSandbox


@dataclass(frozen=True)
class Family:
    """An address family: hosts have PREFIX1, PREFIX2 and so on."""

    name: str
    prefix: str
    group: str

    def __str__(self) -> str:
        return self.name


IPV4 = Family("ipv4", "192.0.2.1", "239.1.1.10")
IPV6 = Family("ipv6", "2001:db8::1", "ff05::ef01:10a")


@dataclass(frozen=True)
class OneSwitch:
    """The sandbox with switch s1 (dpid 1) and its hosts."""

    sandbox: OvsSandbox
    hosts: list[Host]
    group: str
    framework: str

    def await_members(self, *ports: str) -> None:
        """Wait until the group's packets leave s1 by exactly these ports."""
        self.sandbox.await_members(self.group, {1: set(ports)})

    def await_reporters(self, *hosts: Host) -> None:
        """Wait until exactly these hosts have reported the group."""
        self.sandbox.await_reporters(self.group, [host.reporting_address() for host in hosts])


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
