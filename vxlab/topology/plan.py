"""The plan of a lab as plain data: segments, VMs, hypervisors, and the agents' configurations.

Nothing is started here. The address plan of the underlay is in `families`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vtep.constants import LAST_VLAN
from vxlab.errors import UsageError
from vxlab.topology.families import IPV4, Family
from vxlab.topology.names import interface_name, nic, trunk_name
from vxlab.vteps.kinds import KINDS, VtepKind


@dataclass(frozen=True)
class OverlaySegment:
    """One VNI (RFC 7348 section 4) and the multicast group that its floods are sent to."""

    vni: int
    group: str


@dataclass(frozen=True)
class Vm:
    """A virtual machine on an access port of its hypervisor's virtual switch."""

    name: str
    hypervisor: str
    segment: OverlaySegment
    vlan: int
    trunk: int
    ip: str
    mac: str

    @property
    def slot(self) -> int:
        """Its trunk and VLAN as one number, see Hypervisor."""
        return self.trunk * LAST_VLAN + self.vlan - 1


@dataclass
class Hypervisor:
    """A host with an underlay NIC, a VTEP agent, and one virtual switch per 4094 segments.

    A trunk has 4094 VLANs, so hypervisors with more segments have more trunks, each to a virtual
    switch of its own. The pair (trunk, VLAN) is a slot, counted from 0.
    """

    name: str
    number: int
    family: Family = IPV4
    bridges: list[str] = field(default_factory=list)
    # VNI -> (slot, segment)
    vlans: dict[int, tuple[int, OverlaySegment]] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)  # slot -> VNI
    options: dict[str, Any] = field(default_factory=dict)
    neighbours: dict[str, str] = field(default_factory=dict)  # static ARP: address -> MAC
    remotes: dict[int, list[str]] = field(default_factory=dict)  # VNI -> head-end replication

    @property
    def underlay(self) -> str:
        """Its address in the underlay."""
        return self.family.address(self.number)

    @property
    def interface(self) -> str:
        """Its underlay NIC."""
        return nic(self.name)

    def trunk_interface(self, trunk: int) -> str:
        """The hypervisor's end of the trunk to its virtual switch number `trunk`."""
        return trunk_name(self.name, trunk)

    def attach(
        self, segment: OverlaySegment, vlan: int | None, plugged: Mapping[int, int] | None = None
    ) -> tuple[int, int]:
        """Give a segment a VLAN of this hypervisor; the next free one if `vlan` is None.

        plugged: slot -> VNI of the VMs here, which keep their VLANs while a VNI is removed.
        Returns (trunk, VLAN), also where the segment is attached already. UsageError where the
        VLAN carries another segment, or the segment or its VMs have another VLAN.
        """
        plugged = plugged or {}
        if segment.vni in self.vlans:
            slot, _ = self.vlans[segment.vni]
        elif segment.vni in plugged.values():
            slot = next(slot for slot, vni in plugged.items() if vni == segment.vni)
        else:
            slot = vlan - 1 if vlan is not None else self._free_slot(plugged)
        trunk, offset = divmod(slot, LAST_VLAN)
        if vlan is not None and offset + 1 != vlan:
            raise UsageError(
                f"hypervisor {self.name}: VNI {segment.vni} has VLAN {offset + 1} already; "
                f"must be {offset + 1}, not {vlan}"
            )
        if segment.vni not in self.vlans:
            self._take(slot, segment, plugged)
        return trunk, offset + 1

    def _free_slot(self, plugged: Mapping[int, int]) -> int:
        # Slots are dense from the bottom: with n taken, one of the first n + 1 is free.
        slot = len(self.slots)
        while slot in self.slots or slot in plugged:
            slot += 1
        return slot

    def _take(self, slot: int, segment: OverlaySegment, plugged: Mapping[int, int]) -> None:
        if slot in self.slots:
            vlan = slot % LAST_VLAN + 1
            raise UsageError(
                f"hypervisor {self.name}: VLAN {vlan} already carries VNI {self.slots[slot]}; "
                f"VNI {segment.vni} must have another VLAN"
            )
        if plugged.get(slot, segment.vni) != segment.vni:
            vlan = slot % LAST_VLAN + 1
            raise UsageError(
                f"hypervisor {self.name}: VLAN {vlan} has VMs of VNI {plugged[slot]}; "
                f"VNI {segment.vni} must have another VLAN"
            )
        self.slots[slot] = segment.vni
        self.vlans[segment.vni] = slot, segment

    @property
    def kind(self) -> VtepKind:
        """The kind of its VTEP."""
        return KINDS[self.options["vtep"]]

    def group_of(self, segment: OverlaySegment) -> str | None:
        """The group this hypervisor uses for a segment: the segment's, or that of `--set group`.

        None where it floods by head-end replication.
        """
        if segment.vni in self.remotes:
            return None
        return str(self.options["group"] or segment.group)

    def groups(self) -> set[str]:
        """All groups this hypervisor uses."""
        used = {self.group_of(segment) for _, segment in self.vlans.values()}
        return {group for group in used if group is not None}

    def port_of(self, trunk: int, vlan: int) -> str:
        """The hypervisor's interface towards its virtual switch that carries a VLAN."""
        if self.kind.trunk:
            return self.trunk_interface(trunk)
        return interface_name(self.name, f"-v{trunk}.{vlan}")

    def _ports(self) -> list[str]:
        if self.kind.trunk:
            return [self.trunk_interface(trunk) for trunk in range(len(self.bridges))]
        slots = sorted(slot for slot, _ in self.vlans.values())
        return [self.port_of(slot // LAST_VLAN, slot % LAST_VLAN + 1) for slot in slots]

    def agent_config(self, control: str, offload: bool = True) -> str:
        """The agent's configuration file, TOML (`python -m vtep --config`).

        control: the path of its control socket. offload: whether the underlay's switches take the
        super-frames of tunnels.
        """
        lines = [
            f"name = {_quoted(self.name)}",
            f"control = {_quoted(control)}",
            f"datapath = {_quoted(self.options['datapath'])}",
            "[underlay]",
            f"interface = {_quoted(self.interface)}",
            f"local = {_quoted(self.underlay)}",
            f"ttl = {self.options['ttl']}",
            f"strict = {_flag(self.options['strict'])}",
            f"offload = {_flag(offload)}",
            *self._checksum_line(),
            "[fdb]",
            f"ageing_s = {self.options['ageing']}",
            f"limit = {self.options['limit']}",
        ]
        for port in self._ports():
            lines += ["[[port]]", f"interface = {_quoted(port)}"]
        for vni, (slot, segment) in sorted(self.vlans.items()):
            lines += self._segment_lines(vni, slot, segment)
        return "\n".join(lines) + "\n"

    def _checksum_line(self) -> list[str]:
        asked = self.options["udp_checksum"]
        return [] if asked is None else [f"udp_checksum = {_flag(asked)}"]

    def _segment_lines(self, vni: int, slot: int, segment: OverlaySegment) -> list[str]:
        trunk, offset = divmod(slot, LAST_VLAN)
        group, port = self.group_of(segment), self.port_of(trunk, offset + 1)
        lines = ["[[segment]]", f"vni = {vni}", f"port = {_quoted(port)}"]
        if self.kind.trunk:
            lines.append(f"vlan = {offset + 1}")
        if group is None:
            lines.append(f"remotes = {json.dumps(self.remotes[vni])}")
        else:
            lines.append(f"group = {_quoted(group)}")
        return lines


def _quoted(text: str) -> str:
    return json.dumps(text)  # a JSON string is a TOML basic string


def _flag(value: bool) -> str:
    return "true" if value else "false"
