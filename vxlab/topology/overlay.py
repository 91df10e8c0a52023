"""The words a topology is written in: segment, underlay switch, hypervisor, VM.

An OverlayTopo is a Mininet Topo: names, links and options only, nothing is started here. It works
through `vxlab up` and through `mn --custom` alike.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, ClassVar

from mininet.topo import Topo

from vxlab.errors import UsageError
from vxlab.nodes.hosts import VmNode
from vxlab.nodes.links import Veth
from vxlab.nodes.plain_mininet import StandaloneHypervisor
from vxlab.nodes.switches import UnderlaySwitch, VirtualSwitch
from vxlab.topology.families import FAMILIES, IPV4, IPV6, mac_of
from vxlab.topology.options import COMMON, GROUP, INTERFACE, MAC, Option, Settings, checked
from vxlab.topology.plan import LAST_VLAN, Hypervisor, Segment, Vm

LAST_VNI = 0xFFFFFF  # RFC 7348 section 4: 24 bit
LAST_HYPERVISOR = 240  # 192.0.2.11 to 192.0.2.250, and as many over IPv6

# The kernel bounds the ARP entries of all namespaces together (gc_thresh3, 1024 by default), and
# n hypervisors that talk to each other need n * (n - 1). Permanent entries do not count.
LEARNED_NEIGHBOURS = 12


class OverlayTopo(Topo):
    """Base of all topologies: a subclass names its `options` and overrides `lay`."""

    options: ClassVar[tuple[Option, ...]] = ()

    def build(self, **values: Any) -> None:
        """Mininet's hook: read the settings, lay the nodes, check what can only be checked then."""
        self.settings = Settings(COMMON + self.options, values)
        self.family = FAMILIES[self.settings["underlay"]]
        self.settings.check_groups(self.family)
        self.segments: dict[int, Segment] = {}
        self.hypervisors: dict[str, Hypervisor] = {}
        self.vms: dict[str, Vm] = {}
        self.machines: dict[str, tuple[str, str]] = {}
        self.underlay_switches: list[str] = []
        self.lay()
        self.settings.check_hypervisors(self.hypervisors)
        for segment in self.segments.values():
            self._choose_flooding(segment)
        if len(self.hypervisors) > LEARNED_NEIGHBOURS:
            self._tell_neighbours()
        for hypervisor in self.hypervisors.values():
            self._describe_node(hypervisor)

    def lay(self) -> None:
        """Lay out segments, switches, hypervisors and VMs; `self.settings` has the options."""
        raise NotImplementedError

    def segment(self, vni: int, group: str) -> Segment:
        """A VNI and the group that carries its broadcast, multicast and unknown unicast."""
        if not 0 <= vni <= LAST_VNI:
            raise UsageError(f"VNI {vni}: allowed is 0 to {LAST_VNI}")
        if vni in self.segments:
            raise UsageError(f"VNI {vni}: there already")
        own = self.family.group(checked("group", group, GROUP))
        self.segments[vni] = Segment(vni, self.settings["group"] or own)
        return self.segments[vni]

    def underlay_switch(self, name: str, uplink: str | None = None) -> str:
        """A switch of the underlay, controlled by Ryu; `uplink` links it to another, as a tree."""
        self.underlay_switches.append(name)
        self.addSwitch(name, cls=UnderlaySwitch, dpid=f"{len(self.underlay_switches):016x}")
        if uplink is not None:
            self._wire(name, uplink, self._underlay_mtu)
        return name

    @property
    def _underlay_mtu(self) -> int:
        """As it is set; else so that the VMs' MTU fits whatever the outer IP header's length."""
        longer = 0 if self.settings.is_set("underlay_mtu") else self.family.ip_length
        return int(self.settings["underlay_mtu"]) + max(0, longer - IPV4.ip_length)

    def hypervisor(self, name: str, switch: str) -> Hypervisor:
        """A hypervisor with its VTEP agent, underlay NIC and virtual switch."""
        number = len(self.hypervisors) + 1
        if number > LAST_HYPERVISOR:
            raise UsageError(
                f"{name}: the underlay has addresses for {LAST_HYPERVISOR} hypervisors"
            )
        hypervisor = Hypervisor(name, number, self.family)
        hypervisor.options = {
            option.name: self.settings.of(option.name, name)
            for option in COMMON
            if option.per_hypervisor
        }
        self.hypervisors[name] = hypervisor
        mac, ip = mac_of(hypervisor.underlay), self.family.interface(number)
        self.addHost(name, cls=StandaloneHypervisor, ip=ip, mac=mac)
        self._wire(name, switch, self._underlay_mtu, intfName1=hypervisor.interface)
        self._add_bridge(hypervisor)
        return hypervisor

    def machine(self, name: str, switch: str, ip: str) -> None:
        """A plain host on the underlay that is no hypervisor of ours, such as a router."""
        address = ipaddress.ip_interface(ip)
        mac = mac_of(str(address.ip))
        self.machines[name] = (ip, mac)
        self.addHost(name, cls=VmNode, ip=ip, mac=mac, ipv6=address.version == 6)
        self._wire(name, switch, self._underlay_mtu)

    def attach(self, hypervisor: Hypervisor, segment: Segment, vlan: int | None = None) -> int:
        """Carry a segment on a hypervisor, on a VLAN (or the next free one); returns the VLAN."""
        fresh = segment.vni not in hypervisor.vlans
        trunk, vlan = hypervisor.attach(segment, vlan)
        while trunk >= len(hypervisor.bridges):
            self._add_bridge(hypervisor)
        if fresh and not hypervisor.kind.trunk:
            port = hypervisor.port_of(trunk, vlan)
            bridge, mtu = hypervisor.bridges[trunk], self.settings["vm_mtu"]
            self._wire(hypervisor.name, bridge, mtu, intfName1=port, params2={"vlan": vlan})
        return vlan

    def vm(
        self,
        name: str,
        hypervisor: Hypervisor,
        segment: Segment,
        ip: str,
        vlan: int | None = None,
        mac: str | None = None,
    ) -> Vm:
        """A VM in a segment, on an access port of the hypervisor's virtual switch."""
        checked("ip", ip, INTERFACE)
        if mac is not None:
            checked("mac", mac, MAC)
        if vlan is not None and not 1 <= vlan <= LAST_VLAN:
            raise UsageError(f"{name}: VLAN {vlan}: allowed is 1 to {LAST_VLAN}")
        self.attach(hypervisor, segment, vlan)
        trunk, vlan = hypervisor.attach(segment, vlan)
        mac = mac or mac_of(str(ipaddress.ip_interface(ip).ip))
        vm = Vm(name, hypervisor.name, segment, vlan, trunk, ip, mac)
        self.vms[name] = vm
        ipv6 = self.settings["ipv6"]
        self.addHost(name, cls=VmNode, ip=ip, mac=mac, ipv6=ipv6)
        bridge = hypervisor.bridges[trunk]
        self._wire(name, bridge, self.settings["vm_mtu"], params2={"vlan": vlan})
        return vm

    def _choose_flooding(self, segment: Segment) -> None:
        """Head-end replication where it is asked for, or one of the VTEPs knows nothing else."""
        carrying = [h for h in self.hypervisors.values() if segment.vni in h.vlans]
        if self.settings["flooding"] == "multicast" and all(h.kind.multicast for h in carrying):
            return
        for hypervisor in carrying:
            hypervisor.remotes[segment.vni] = [h.underlay for h in carrying if h is not hypervisor]

    def _tell_neighbours(self) -> None:
        everyone = {other.underlay: mac_of(other.underlay) for other in self.hypervisors.values()}
        for hypervisor in self.hypervisors.values():
            hypervisor.neighbours = {
                ip: mac for ip, mac in everyone.items() if ip != hypervisor.underlay
            }

    def _describe_node(self, hypervisor: Hypervisor) -> None:
        """Give a hypervisor's node what is known only when the whole lab is laid out."""
        self.nodeInfo(hypervisor.name).update(
            underlay_interface=hypervisor.interface,
            underlay_ipv6=hypervisor.family is IPV6,
            max_groups=len(hypervisor.vlans),
            neighbours=hypervisor.neighbours,
            vtep_module=hypervisor.kind.module,
            vtep_config=hypervisor.agent_config,
        )

    def _add_bridge(self, hypervisor: Hypervisor) -> None:
        trunk = len(hypervisor.bridges)
        name = f"br{hypervisor.number}" + (f"x{trunk}" if trunk else "")
        hypervisor.bridges.append(name)
        # Bridges take datapath ids far from the underlay's 1, 2, 3...
        dpid = f"{0xB00000 + hypervisor.number * 256 + trunk:016x}"
        self.addSwitch(name, cls=VirtualSwitch, dpid=dpid)
        if hypervisor.kind.trunk:
            mtu = self.settings["vm_mtu"] + 4  # room for the 802.1Q tag of a full frame
            interface, offloads = hypervisor.trunk_interface(trunk), hypervisor.kind.offloads
            self._wire(hypervisor.name, name, mtu, intfName1=interface, offloads2=offloads)

    def _wire(self, node1: str, node2: str, mtu: int, **params: Any) -> None:
        self.addLink(node1, node2, cls=Veth, mtu=mtu, **params)

    def rows(self) -> Iterator[dict[str, Any]]:
        """All nodes in the shape of `vxlab nodes --json`."""
        for vm in self.vms.values():
            yield _row(vm.name, "vm", vm.hypervisor, [vm.ip], vm.mac, vm.vlan, vm.segment.vni)
        for hypervisor in self.hypervisors.values():
            ip, mac = self.family.interface(hypervisor.number), mac_of(hypervisor.underlay)
            row = _row(hypervisor.name, "hypervisor", None, [ip], mac)
            vtep = {"underlay": hypervisor.underlay, "vtep": hypervisor.kind.name}
            yield row | vtep | {"vnis": sorted(hypervisor.vlans)}
            for bridge in hypervisor.bridges:
                yield _row(bridge, "bridge", hypervisor.name, [], None)
        for name, (ip, mac) in self.machines.items():
            yield _row(name, "router", None, [ip], mac)
        for switch in self.underlay_switches:
            yield _row(switch, "switch", None, [], None)


def _row(
    name: str,
    kind: str,
    hypervisor: str | None,
    ip: list[str],
    mac: str | None,
    vlan: int | None = None,
    vni: int | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "hypervisor": hypervisor,
        "ip": ip,
        "mac": mac,
        "vlan": vlan,
        "vni": vni,
    }
