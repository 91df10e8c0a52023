"""One real switch with three hosts: shared by the tests of this folder.

h1 .11 --- s1 --- h2 .12      192.0.2.0/24 or 2001:db8::/64
            |
           h3 .13
"""

from __future__ import annotations

from dataclasses import dataclass

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
