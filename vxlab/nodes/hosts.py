"""The hosts of a lab: VMs and hypervisors, each a network namespace."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

from mininet.node import Node

from vxlab.nodes.shell import run

_KERNEL_MAX_GROUPS = 20  # net.ipv4.igmp_max_memberships of a new network namespace

Sysctls = list[tuple[str, int]]  # pairs of (path under /proc/sys/net, value)


class ConfiguredHost(Node):
    """A host that one shell command configures, instead of Mininet's one for each setting."""

    def config(self, mac: str = "", ip: str = "", **_params: Any) -> dict[str, Any]:
        """Set MAC and address of the default interface, bring up loopback, and set the sysctls.

        ip: an address with its prefix length.
        """
        nic = self.defaultIntf()
        # No other node has this address: duplicate address detection would only cost a second.
        nodad = " nodad" if ":" in ip else ""
        nic.mac = mac
        nic.ip, nic.prefixLen = ip.split("/")
        # The MAC comes before IPv6 is enabled: the kernel derives the link-local address from it.
        link = f"ip -batch - <<< $'link set {nic} address {mac}\\nlink set lo up'"
        sysctls = (f"echo {value} > /proc/sys/net/{key}" for key, value in self.sysctls())
        command = " && ".join([link, *sysctls, f"ip addr add {ip} dev {nic}{nodad}"])
        run(self, f"configure {nic} with {ip} and MAC {mac}", command)
        return {}

    def sysctls(self) -> Sysctls:
        """The sysctls to set, in order."""
        return []


class VmNode(ConfiguredHost):
    """A virtual machine. IPv6 is off by default, since its kernel would send unasked."""

    def __init__(self, name: str, ipv6: bool = False, **params: Any) -> None:
        self.ipv6 = ipv6
        super().__init__(name, **params)

    def sysctls(self) -> Sysctls:
        """Whether it has IPv6."""
        return [("ipv6/conf/all/disable_ipv6", 0 if self.ipv6 else 1)]


class HypervisorNode(ConfiguredHost):
    """A hypervisor: an underlay NIC, trunks to virtual switches, and room for a VTEP agent."""

    def __init__(
        self,
        name: str,
        underlay_interface: str = "",
        underlay_ipv6: bool = False,
        max_groups: int = 0,
        neighbours: Mapping[str, str] | None = None,
        **params: Any,
    ) -> None:
        """Make it.

        underlay_interface: its underlay NIC. underlay_ipv6: whether the underlay is IPv6.
        max_groups: how many multicast groups its VTEP may join.
        neighbours: permanent ARP or neighbour entries of the NIC: address -> MAC.
        """
        self.underlay_interface = underlay_interface
        self.underlay_ipv6 = underlay_ipv6
        self.max_groups = max(_KERNEL_MAX_GROUPS, max_groups)
        self.neighbours = neighbours or {}
        super().__init__(name, **params)

    def config(self, mac: str = "", ip: str = "", **params: Any) -> dict[str, Any]:
        """Configure the underlay NIC and its permanent neighbour entries."""
        result = super().config(mac, ip, **params)
        if self.neighbours:
            self._set_neighbours()
        return result

    def _set_neighbours(self) -> None:
        # A file, since a terminal line of Mininet's shell is too short for hundreds of entries.
        with tempfile.NamedTemporaryFile("w", prefix="vxlab-neighbours-") as commands:
            for ip, mac in self.neighbours.items():
                place = f"dev {self.underlay_interface}"
                commands.write(f"neigh replace {ip} lladdr {mac} {place} nud permanent\n")
            commands.flush()
            run(self, "set the permanent neighbour entries", f"ip -batch {commands.name}")

    def sysctls(self) -> Sysctls:
        """Room for the groups of all segments; IPv6 only on the NIC of an IPv6 underlay."""
        return [
            ("ipv6/conf/all/disable_ipv6", 1),
            ("ipv6/conf/default/disable_ipv6", 1),  # devices that a VTEP makes later
            ("ipv4/igmp_max_memberships", self.max_groups),
            *(quiet_ipv6(self.underlay_interface) if self.underlay_ipv6 else []),
        ]


def quiet_ipv6(interface: str) -> Sysctls:
    """The sysctls of an interface that has IPv6 but sends no solicitations of its own."""
    quiet = {"accept_dad": 0, "router_solicitations": 0, "accept_ra": 0, "disable_ipv6": 0}
    return [(f"ipv6/conf/{interface}/{key}", value) for key, value in quiet.items()]
