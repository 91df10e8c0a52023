"""Which VMs and VTEPs of a topology take part in the demo, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vxlab.errors import UsageError
from vxlab.topology.families import family_of
from vxlab.topology.overlay import OverlayTopo

Row = dict[str, Any]

_SHORTEST_AGEING_S = 60  # longer than a demo on a slow machine


@dataclass(frozen=True)
class Roles:
    """The participants; rows are those of `vxlab nodes --json`."""

    asker: Row  # the VM that sends the ARP request
    answerer: Row  # the VM that replies
    vms: list[Row]  # all VMs of the VNI
    members: list[Row]  # hypervisors that carry the VNI
    outsiders: list[Row]  # hypervisors that do not
    group: str
    port: str  # the interface of the asker's hypervisor towards the VMs of the VNI
    trunk: bool  # whether that port carries the VLAN tag of the VNI

    @property
    def snooped(self) -> bool:
        """Whether the underlay's switches snoop the group. Otherwise they flood it."""
        return family_of(self.group).snoops(self.group)

    @property
    def vni(self) -> int:
        """The VNI of the demo."""
        return int(self.asker["vni"])

    @property
    def sender(self) -> Row:
        """The asker's hypervisor."""
        return self.hypervisor_of(self.asker)

    @property
    def replier(self) -> Row:
        """The answerer's hypervisor."""
        return self.hypervisor_of(self.answerer)

    @property
    def bystanders(self) -> list[Row]:
        """Member hypervisors other than the sender and the replier."""
        return [row for row in self.members if row not in (self.sender, self.replier)]

    def hypervisor_of(self, vm: Row) -> Row:
        """The hypervisor of one of the VMs."""
        return next(row for row in self.members if row["name"] == vm["hypervisor"])

    def address(self, vm: Row) -> str:
        """A VM's address without its prefix length."""
        return str(vm["ip"][0].partition("/")[0])


def choose_roles(topo: OverlayTopo, topology: str) -> Roles:
    """The first VM with another one of its VNI on another hypervisor, and that VM.

    UsageError if there is none in a VNI that floods to a multicast group, or if an option would
    make a step fail. Asks only the
    description of the lab, so nothing needs to run.
    """
    _check_options(topo)
    rows = list(topo.rows())
    vms = [row for row in rows if row["kind"] == "vm"]
    pairs = [(one, other) for one in vms for other in vms if _may_meet(one, other)]
    if not pairs:
        raise UsageError(f"{topology}: the demo needs a VNI with VMs on two hypervisors")
    for asker, answerer in pairs:
        if not _lists_remotes(topo, asker["vni"]):
            return _roles(topo, rows, asker, answerer)
    raise UsageError(_why_no_group(topo, pairs[0][0]["vni"]))


def _check_options(topo: OverlayTopo) -> None:
    """UsageError for an option with which steps fail although the VTEPs do what they must."""
    if topo.settings["ipv6"]:
        raise UsageError(
            "demo: needs VMs that are silent, and IPv6 sends packets by itself; "
            "leave out --set ipv6=true"
        )
    for hypervisor in topo.hypervisors.values():
        if (ageing := hypervisor.options["ageing"]) < _SHORTEST_AGEING_S:
            raise UsageError(
                f"demo: --set ageing = {ageing} of {hypervisor.name}: must be at least "
                f"{_SHORTEST_AGEING_S}, or entries expire before the demo has shown them"
            )


def _may_meet(one: Row, other: Row) -> bool:
    return bool(one["vni"] == other["vni"] and one["hypervisor"] != other["hypervisor"])


def _lists_remotes(topo: OverlayTopo, vni: int) -> bool:
    """Whether a VNI floods by head-end replication."""
    return any(vni in hypervisor.remotes for hypervisor in topo.hypervisors.values())


def _why_no_group(topo: OverlayTopo, vni: int) -> str:
    """Why no VNI floods to a group, and what to change."""
    carrying = [each for each in topo.hypervisors.values() if vni in each.vlans]
    unicast = [each for each in carrying if not each.kind.multicast]
    if unicast:
        kinds = ", ".join(sorted({each.kind.name for each in unicast}))
        names = ", ".join(each.name for each in unicast)
        return (
            f"demo: shows flooding to a multicast group, which VTEPs of kind {kinds} do not "
            f"support ({names}); choose another kind with --set vtep=KIND"
        )
    return (
        "demo: shows flooding to a multicast group, and flooding is head-end; "
        "leave out --set flooding=head-end"
    )


def _roles(topo: OverlayTopo, rows: list[Row], asker: Row, answerer: Row) -> Roles:
    vni = asker["vni"]
    same = [row for row in rows if row["kind"] == "vm" and row["vni"] == vni]
    carrying = {vm["hypervisor"] for vm in same}
    hypervisors = [row for row in rows if row["kind"] == "hypervisor"]
    hypervisor, vm = topo.hypervisors[asker["hypervisor"]], topo.vms[asker["name"]]
    return Roles(
        asker=asker,
        answerer=answerer,
        vms=same,
        members=[row for row in hypervisors if row["name"] in carrying],
        outsiders=[row for row in hypervisors if row["name"] not in carrying],
        group=topo.segments[vni].group,
        port=hypervisor.port_of(vm.trunk, vm.vlan),
        trunk=hypervisor.kind.trunk,
    )
