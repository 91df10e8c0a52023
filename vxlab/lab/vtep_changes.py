"""Changes to the VTEPs of a running lab: VNIs and static entries.

The agent is asked first; the plan of the lab and the agent's configuration file follow only when
it has agreed. So `nodes` and `move` know of the change, and a restarted agent keeps it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vxlab.control import rpc
from vxlab.errors import LabError, UsageError
from vxlab.lab import agent_file
from vxlab.system.directory import LabDirectory
from vxlab.topology.fabric import ports_toward
from vxlab.topology.overlay import OverlayTopo
from vxlab.topology.plan import Hypervisor, OverlaySegment
from vxlab.waiting import await_condition

NO_GROUP = ""  # of a segment that only head-end replication floods


class VtepChanges:
    """The part of a lab's control socket that changes VTEPs."""

    def __init__(
        self, topo: OverlayTopo, directory: LabDirectory, write_state: Callable[[str], None]
    ) -> None:
        self._topo = topo
        self._directory = directory
        self._write_state = write_state

    def table(self) -> dict[str, Callable[..., Any]]:
        """Request -> what carries it out."""
        return {
            "vni_add": self.vni_add,
            "vni_del": self.vni_del,
            "static_add": self.static_add,
            "static_del": self.static_del,
        }

    # -- VNIs

    def vni_add(
        self,
        hypervisor: str,
        vni: int,
        group: str | None = None,
        remotes: tuple[str, ...] | list[str] = (),
        vlan: int | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Add a VNI to a hypervisor's VTEP; returns when the underlay has snooped its group.

        more: further keys of a [[segment]] (`inner_tags`, `suppress_arp`). Returns the VLAN.
        """
        plan = self._hypervisor(hypervisor)
        if vni in plan.vlans:
            raise UsageError(f"{hypervisor}: has VNI {vni} already")
        segment, remotes = self._flooding(plan, vni, group, list(remotes))
        row = self._attach(plan, segment, vlan)
        flooding = {"remotes": remotes} if remotes else {"group": plan.group_of(segment)}
        row |= {**flooding, **more}
        try:
            self._ask(hypervisor, "vni_add", row)
        except LabError:
            self._detach(plan, vni)
            raise
        if remotes:
            plan.remotes[vni] = remotes
        self._topo.segments.setdefault(vni, segment)
        self._rewrite(hypervisor, lambda text: agent_file.with_segment(text, row))
        self._write_state("ready")
        if not remotes:
            self._await_snooped(hypervisor, row["group"])
        return {"vlan": row["vlan"]}

    def vni_del(self, hypervisor: str, vni: int) -> dict[str, Any]:
        """Remove a VNI from a hypervisor's VTEP; returns the VMs there that lose their network."""
        plan = self._hypervisor(hypervisor)
        self._check_vni(plan, vni)
        self._ask(hypervisor, "vni_del", {"vni": vni})
        self._detach(plan, vni)
        self._rewrite(hypervisor, lambda text: agent_file.without_segment(text, vni))
        using = [vm for vm in self._topo.vms.values() if vm.segment.vni == vni]
        if not using and not any(vni in h.vlans for h in self._topo.hypervisors.values()):
            self._topo.segments.pop(vni, None)
        self._write_state("ready")
        return {"vms": [vm.name for vm in using if vm.hypervisor == hypervisor]}

    def _flooding(
        self, plan: Hypervisor, vni: int, group: str | None, remotes: list[str]
    ) -> tuple[OverlaySegment, list[str]]:
        """How the VTEP floods a VNI: (segment, remotes for head-end replication or none).

        What is not given is taken from the lab's other VTEPs with this VNI.
        """
        if group is not None and remotes:
            raise UsageError(f"VNI {vni}: give a group or remotes, not both")
        if group is not None:
            self._check_family("--group", group)
            if plan.options["group"]:
                raise UsageError(f"{plan.name}: `--set group` rules all its VNIs; omit --group")
            return OverlaySegment(vni, group), []
        known = self._topo.segments.get(vni)
        if not remotes and known is None:
            raise UsageError(f"VNI {vni}: new in this lab; --group or --remote is needed")
        carrying = [h for h in self._topo.hypervisors.values() if vni in h.vlans]
        if not remotes and any(vni in other.remotes for other in carrying):
            remotes = [other.underlay for other in carrying]
        resolved = [self._remote(plan, remote) for remote in remotes]
        return known or OverlaySegment(vni, NO_GROUP), resolved

    def _attach(
        self, plan: Hypervisor, segment: OverlaySegment, vlan: int | None
    ) -> dict[str, Any]:
        """Give the segment a VLAN in the plan; returns the first keys of its [[segment]]."""
        plugged = {
            vm.slot: vm.segment.vni for vm in self._topo.vms.values() if vm.hypervisor == plan.name
        }
        trunk, taken = plan.attach(segment, vlan, plugged)
        if trunk >= len(plan.bridges):
            self._detach(plan, segment.vni)
            raise LabError(f"{plan.name}: all VLANs of its virtual switches are in use")
        return {"vni": segment.vni, "port": plan.port_of(trunk, taken), "vlan": taken}

    def _detach(self, plan: Hypervisor, vni: int) -> None:
        slot, _ = plan.vlans.pop(vni)
        plan.slots.pop(slot)
        plan.remotes.pop(vni, None)

    def _await_snooped(self, hypervisor: str, group: str) -> None:
        """Wait until each switch sends the group to the hypervisor; not without a controller."""
        controller = self._directory.controller_socket
        if not self._topo.family.snoops(group) or not rpc.answers(controller):
            return
        expected = ports_toward(self._topo, hypervisor)

        def unmet() -> str | None:
            snooped = {
                (row["dpid"], port["port"])
                for row in rpc.ask(controller, "groups")
                if row["group"] == group
                for port in row["ports"]
            }
            missing = sorted(switch for switch in expected.items() if switch not in snooped)
            return f"(switch, port) {missing}: group {group} not snooped" if missing else None

        await_condition(unmet, "group of a new VNI snooped")

    # -- static entries

    def static_add(
        self, hypervisor: str, vni: int, mac: str, remote: str, add: bool = False
    ) -> dict[str, Any]:
        """Configure the remote VTEP (address or hypervisor) of a MAC; add: one more remote."""
        plan = self._hypervisor(hypervisor)
        self._check_vni(plan, vni)
        address = self._remote(plan, remote)
        row = {"vni": vni, "mac": mac, "remote": address}
        self._ask(hypervisor, "static_add", row | ({"add": True} if add else {}))
        change = agent_file.with_static
        self._rewrite(hypervisor, lambda text: change(text, vni, mac, address, add))
        return {"remote": address}

    def static_del(
        self, hypervisor: str, vni: int, mac: str, remote: str | None = None
    ) -> dict[str, Any]:
        """Remove the static entries of a MAC; remote: fail unless the entry names this VTEP."""
        plan = self._hypervisor(hypervisor)
        self._check_vni(plan, vni)
        if remote is not None:
            self._check_static(plan, vni, mac, self._remote(plan, remote))
        self._ask(hypervisor, "static_del", {"vni": vni, "mac": mac})
        self._rewrite(hypervisor, lambda text: agent_file.without_static(text, vni, mac))
        return {}

    def _check_static(self, plan: Hypervisor, vni: int, mac: str, remote: str) -> None:
        rows = self._ask(plan.name, "fdb", {"vni": vni})
        for row in rows:
            if (row["mac"], row["kind"]) == (mac, "static") and row["remote"] != remote:
                raise LabError(f"{plan.name}: {mac} is static at {row['remote']}, not {remote}")

    # -- what they share

    def _hypervisor(self, name: str) -> Hypervisor:
        if name not in self._topo.hypervisors:
            names = ", ".join(self._topo.hypervisors)
            raise UsageError(f"{name}: no such hypervisor in this lab; hypervisors: {names}")
        return self._topo.hypervisors[name]

    def _check_vni(self, plan: Hypervisor, vni: int) -> None:
        if vni not in plan.vlans:
            names = ", ".join(map(str, sorted(plan.vlans))) or "none"
            raise UsageError(f"{plan.name}: has no VNI {vni}; VNIs: {names}")

    def _check_family(self, option: str, address: str) -> None:
        family = self._topo.family
        if ipaddress.ip_address(address).version != family.network.version:
            version = family.network.version
            raise UsageError(f"{option} {address}: must be IPv{version}, as the underlay")

    def _remote(self, plan: Hypervisor, remote: str) -> str:
        """The address of a remote VTEP, which may be given by its hypervisor's name."""
        if remote in self._topo.hypervisors:
            remote = self._topo.hypervisors[remote].underlay
        try:
            self._check_family("remote", remote)
        except ValueError:
            names = ", ".join(self._topo.hypervisors)
            raise UsageError(
                f"remote {remote}: must be an IP address or a hypervisor: {names}"
            ) from None
        if remote == plan.underlay:
            raise UsageError(f"remote {remote}: is {plan.name} itself")
        return remote

    def _ask(self, hypervisor: str, do: str, arguments: dict[str, Any]) -> Any:
        try:
            return rpc.ask(self._directory.agent_socket(hypervisor), do, **arguments)
        except rpc.Unreachable:
            raise LabError(
                f"{hypervisor}: its agent does not answer; `vxlab restart {hypervisor}` restarts it"
            ) from None

    def _rewrite(self, hypervisor: str, change: Callable[[str], str]) -> None:
        path: Path = self._directory.agent_config(hypervisor)
        path.write_text(change(path.read_text()))
