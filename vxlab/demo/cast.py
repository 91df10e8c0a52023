"""Who plays the scene in a lab: a VM that asks, one that answers, the VTEPs that take part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vxlab.capture.packets import Tap
from vxlab.errors import UsageError
from vxlab.lab.captures import open_taps
from vxlab.lab.handle import Lab
from vxlab.topology.families import family_of
from vxlab.topology.names import nic, trunk_name

Row = dict[str, Any]


@dataclass(frozen=True)
class Cast:
    """The actors; rows are those of `vxlab nodes`."""

    asker: Row
    answerer: Row
    vms: list[Row]  # all of the VNI
    members: list[Row]  # hypervisors that carry the VNI
    outsiders: list[Row]  # hypervisors that do not
    group: str

    @property
    def snooped(self) -> bool:
        """Whether the underlay's switches know who is in the group; else they flood."""
        return family_of(self.group).snoops(self.group)

    @property
    def vni(self) -> int:
        """The VNI the scene plays in."""
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
        """Member hypervisors that neither ask nor answer."""
        return [row for row in self.members if row not in (self.sender, self.replier)]

    def hypervisor_of(self, vm: Row) -> Row:
        """The hypervisor a VM of the cast is on."""
        return next(row for row in self.members if row["name"] == vm["hypervisor"])

    def address(self, vm: Row) -> str:
        """A VM's address without its prefix length."""
        return str(vm["ip"][0].partition("/")[0])


def choose(lab: Lab) -> Cast:
    """The first VM, and the first one of its VNI behind another hypervisor."""
    vms = lab.nodes("vm")
    for asker in vms:
        same = [vm for vm in vms if vm["vni"] == asker["vni"]]
        others = [vm for vm in same if vm["hypervisor"] != asker["hypervisor"]]
        if others:
            carrying = {vm["hypervisor"] for vm in same}
            hypervisors = lab.nodes("hypervisor")
            members = [row for row in hypervisors if row["name"] in carrying]
            outsiders = [row for row in hypervisors if row["name"] not in carrying]
            if any(row["vtep"] != "python" for row in members):
                raise UsageError("demo: the scene is told by VTEPs of kind python")
            group = lab.state["segments"][str(asker["vni"])]
            return Cast(asker, others[0], same, members, outsiders, group)
    raise UsageError(f"{lab.state['topology']}: the scene needs a VNI with VMs on two hypervisors")


def tap(lab: Lab, cast: Cast) -> list[Tap]:
    """Taps on all underlay links, the asker's trunk, and the NICs of the VNI's VMs."""
    trunk = trunk_name(cast.sender["name"])
    targets: list[tuple[str, str | None]] = [(cast.sender["name"], trunk)]
    targets += [(row["name"], nic(row["name"])) for row in lab.nodes("hypervisor")]
    targets += [(row["name"], nic(row["name"])) for row in cast.vms]
    return open_taps(lab, targets)
