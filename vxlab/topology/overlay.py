"""The words a topology is written in: segment, underlay switch, hypervisor, machine, VM.

An OverlayTopo is a Mininet Topo: names, links and options. Nothing is started here, and an invalid
topology is rejected here: each error names the file, the line, the node and the rule. It works with
`vxlab up` and with `mn --custom`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, ClassVar

from vxlab.errors import UsageError
from vxlab.nodes.hosts import VmNode
from vxlab.nodes.links import Veth
from vxlab.nodes.plain_mininet import StandaloneHypervisor
from vxlab.nodes.switches import UnderlaySwitch, VirtualSwitch
from vxlab.topology import validation
from vxlab.topology.checked import CheckedTopo
from vxlab.topology.families import FAMILIES, IPV4, IPV6, mac_of
from vxlab.topology.names import interface_name, nic
from vxlab.topology.options import COMMON, GROUP, MAC, Option, Settings, checked
from vxlab.topology.places import TopologyError, placed, shown_path
from vxlab.topology.plan import Hypervisor, OverlaySegment, Vm

LAST_HYPERVISOR = 240  # 192.0.2.11 to 192.0.2.250, and as many over IPv6

# Linux limits the ARP entries of all network namespaces together (gc_thresh3, 1024 by default), and
# n hypervisors that send to each other need n * (n - 1). Permanent entries do not count.
LEARNED_NEIGHBOURS = 12


class OverlayTopo(CheckedTopo):
    """Base of all topologies: a subclass declares its `options` and overrides `lay`."""

    options: ClassVar[tuple[Option, ...]] = ()

    def build(self, **values: Any) -> None:
        """Mininet's hook: read the settings, call `lay`, check the topology as a whole."""
        super().build()
        self.settings = Settings((*COMMON, *self.options), values)
        self.family = FAMILIES[self.settings["underlay"]]
        self.settings.check_groups(self.family)
        self.settings.check_mtus()
        self.segments: dict[int, OverlaySegment] = {}
        self.hypervisors: dict[str, Hypervisor] = {}
        self.vms: dict[str, Vm] = {}
        self.machines: dict[str, tuple[str, str]] = {}
        self.underlay_switches: list[str] = []
        self._switch_ports: dict[str, str] = {}  # interface -> switch
        self._addresses = validation.segment_addresses()
        self.lay()
        self._check_whole()
        for segment in self.segments.values():
            self._choose_flooding(segment)
        if len(self.hypervisors) > LEARNED_NEIGHBOURS:
            self._set_neighbours()
        for hypervisor in self.hypervisors.values():
            self._describe_node(hypervisor)

    def lay(self) -> None:
        """Describe segments, switches, hypervisors and VMs; `self.settings` has the options."""
        raise NotImplementedError

    # -- the words

    @placed
    def segment(self, vni: int, group: str) -> OverlaySegment:
        """A VNI and the group for its broadcast, multicast and unknown unicast frames.

        An IPv4 group also serves an IPv6 underlay, see `families`.
        """
        vni = validation.check_vni(vni)
        if vni in self.segments:
            raise UsageError(f"VNI {vni}: defined twice; must be unique in a topology")
        own = self.family.group(checked(f"VNI {vni}: group", group, GROUP))
        self.segments[vni] = OverlaySegment(vni, self.settings["group"] or own)
        return self.segments[vni]

    @placed
    def underlay_switch(self, name: str, uplink: str | None = None) -> str:
        """A switch of the underlay, controlled by Ryu; returns its name.

        uplink: the name of the switch that it is linked to. All switches must form one tree.
        """
        self.claim("switch", name)
        if uplink is not None:
            self._check_switch(f"switch {name}: uplink", uplink)
        self.underlay_switches.append(name)
        self.claim_switch(name)
        self.addSwitch(name, cls=UnderlaySwitch, dpid=f"{len(self.underlay_switches):016x}")
        if uplink is not None:
            self._wire(name, uplink, self._underlay_mtu)
        return name

    @placed
    def hypervisor(self, name: str, switch: str) -> Hypervisor:
        """A hypervisor with its VTEP agent, underlay NIC and virtual switch."""
        self.claim("hypervisor", name)
        self._check_switch(f"hypervisor {name}: switch", switch)
        number = len(self.hypervisors) + 1
        if number > LAST_HYPERVISOR:
            raise UsageError(
                f"hypervisor {name}: is number {number}; must be at most {LAST_HYPERVISOR}, since "
                "the underlay has no more addresses"
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

    @placed
    def machine(self, name: str, switch: str, ip: str) -> None:
        """A plain host on the underlay that is no hypervisor of the lab, such as a router.

        ip: address and prefix length, of the underlay's family.
        """
        self.claim("machine", name)
        self._check_switch(f"machine {name}: switch", switch)
        version, example = self.family.network.version, self.family.interface(LAST_HYPERVISOR + 1)
        address = validation.host_interface(f"machine {name}: address", ip, version, example)
        validation.check_same_network(f"machine {name}: address", address, self.family.network)
        ip, mac = str(address), mac_of(str(address.ip))
        for other, (other_ip, other_mac) in self.machines.items():
            if mac == other_mac or address.ip == ipaddress.ip_interface(other_ip).ip:
                raise UsageError(
                    f"machine {name}: address {ip} collides with {other_ip} of machine {other} "
                    f"(MAC {other_mac}); must be another one"
                )
        self.machines[name] = (ip, mac)
        self.addHost(name, cls=VmNode, ip=ip, mac=mac, ipv6=address.version == 6)
        self._wire(name, switch, self._underlay_mtu, intfName1=nic(name))

    @placed
    def attach(
        self, hypervisor: Hypervisor, segment: OverlaySegment, vlan: int | None = None
    ) -> int:
        """Carry a segment on a hypervisor, on a VLAN or the next free one; returns the VLAN."""
        self._check_ours("attach", hypervisor, segment)
        if vlan is not None:
            vlan = validation.check_vlan(f"hypervisor {hypervisor.name}", vlan)
        fresh = segment.vni not in hypervisor.vlans
        trunk, vlan = hypervisor.attach(segment, vlan)
        while trunk >= len(hypervisor.bridges):
            self._add_bridge(hypervisor)
        if fresh and not hypervisor.kind.trunk:
            port = hypervisor.port_of(trunk, vlan)
            bridge, mtu = hypervisor.bridges[trunk], self.settings["vm_mtu"]
            self._wire(hypervisor.name, bridge, mtu, intfName1=port, params2={"vlan": vlan})
        return vlan

    @placed
    def vm(
        self,
        name: str,
        hypervisor: Hypervisor,
        segment: OverlaySegment,
        ip: str,
        vlan: int | None = None,
        mac: str | None = None,
    ) -> Vm:
        """A VM in a segment, on an access port of the hypervisor's virtual switch.

        ip: IPv4 address and prefix length. vlan: by default that of the segment on this
        hypervisor, or the next free one. mac: by default one derived from the address.
        """
        self.claim("VM", name)
        self._check_ours(f"VM {name}", hypervisor, segment)
        address = validation.host_interface(f"VM {name}: address", ip, 4, "10.0.0.3/24")
        if mac is not None:
            checked(f"VM {name}: MAC", mac, MAC)
        if vlan is not None:
            vlan = validation.check_vlan(f"VM {name}", vlan)
        ip, mac = str(address), mac or mac_of(str(address.ip))
        self._addresses[segment.vni].claim(name, segment.vni, address, mac)
        self.attach(hypervisor, segment, vlan)
        trunk, vlan = hypervisor.attach(segment, vlan)
        vm = Vm(name, hypervisor.name, segment, vlan, trunk, ip, mac)
        self.vms[name] = vm
        ipv6 = self.settings["ipv6"]
        self.addHost(name, cls=VmNode, ip=ip, mac=mac, ipv6=ipv6)
        bridge, mtu = hypervisor.bridges[trunk], self.settings["vm_mtu"]
        self._wire(name, bridge, mtu, intfName1=nic(name), params2={"vlan": vlan})
        return vm

    # -- checks

    def _check_switch(self, what: str, switch: object) -> None:
        if not isinstance(switch, str) or switch not in self.underlay_switches:
            raise validation.foreign(what, switch, "underlay_switch", self.underlay_switches)

    def _check_ours(self, what: str, hypervisor: object, segment: object) -> None:
        """Both must be objects of this topology: those of another would have other links."""
        name = hypervisor.name if isinstance(hypervisor, Hypervisor) else ""
        if self.hypervisors.get(name) is not hypervisor:
            raise validation.foreign(
                f"{what}: hypervisor", hypervisor, "hypervisor", self.hypervisors
            )
        vni = segment.vni if isinstance(segment, OverlaySegment) else None
        if vni is None or self.segments.get(vni) is not segment:
            raise validation.foreign(f"{what}: segment", segment, "segment", self.segments)

    def _check_whole(self) -> None:
        """What can only be checked when all nodes are there."""
        if not self.hypervisors:
            raise TopologyError(
                f"{self._file()}: topology {type(self).__name__} has no hypervisor; lay() must "
                "call self.hypervisor() at least once"
            )
        self.settings.check_hypervisors(self.hypervisors)
        self.check_tree()
        self._check_underlay_addresses()

    def _file(self) -> str:
        return shown_path(type(self).lay.__code__.co_filename)

    def _check_underlay_addresses(self) -> None:
        """No machine and no VM may have the underlay address of another node."""
        taken = {h.underlay: f"hypervisor {h.name}" for h in self.hypervisors.values()}
        macs = {mac_of(ip): owner for ip, owner in taken.items()}
        for name, (ip, mac) in self.machines.items():
            address = str(ipaddress.ip_interface(ip).ip)
            if owner := taken.get(address) or macs.get(mac):
                raise self.error_about(
                    name, f"address {ip} is that of {owner}; must be another one"
                )
            taken[address] = f"machine {name}"
        for vm in self.vms.values():
            if owner := taken.get(vm.ip.partition("/")[0]):
                raise self.error_about(
                    vm.name,
                    f"address {vm.ip} is the underlay address of {owner}; must be another one",
                )

    # -- how it is built

    @property
    def _underlay_mtu(self) -> int:
        """The MTU of the underlay's links: `--set`, or room for the longer header of the family."""
        longer = 0 if self.settings.is_set("underlay_mtu") else self.family.ip_length
        return int(self.settings["underlay_mtu"]) + max(0, longer - IPV4.ip_length)

    def _choose_flooding(self, segment: OverlaySegment) -> None:
        """Head-end replication if it is set, or if one of the VTEPs supports nothing else."""
        carrying = [h for h in self.hypervisors.values() if segment.vni in h.vlans]
        if self.settings["flooding"] == "multicast" and all(h.kind.multicast for h in carrying):
            return
        for hypervisor in carrying:
            hypervisor.remotes[segment.vni] = [h.underlay for h in carrying if h is not hypervisor]

    def _set_neighbours(self) -> None:
        """Configure the underlay's ARP entries statically, for the reason at LEARNED_NEIGHBOURS."""
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
        # Datapath ids must differ from those of the underlay, which are 1, 2, 3...
        dpid = f"{0xB00000 + hypervisor.number * 256 + trunk:016x}"
        self.claim_derived("bridge", name)
        self.addSwitch(name, cls=VirtualSwitch, dpid=dpid)
        if hypervisor.kind.trunk:
            mtu = self.settings["vm_mtu"] + 4  # room for the 802.1Q tag of a full frame
            interface, offloads = hypervisor.trunk_interface(trunk), hypervisor.kind.offloads
            self._wire(hypervisor.name, name, mtu, intfName1=interface, offloads2=offloads)

    def _wire(self, node1: str, node2: str, mtu: int, **params: Any) -> None:
        """Link a node to a switch; both ends' interface names fit Linux's limit."""
        for number, node in ((1, node1), (2, node2)):
            if self.isSwitch(node):
                suffix = f"-eth{len(self.ports.get(node, ())) + 1}"  # as Mininet counts ports
                port = interface_name(node, suffix)
                # All switches are in one network namespace, so a shortened name may be taken.
                if self._switch_ports.setdefault(port, node) != node:
                    raise UsageError(
                        f"switch {node}: its port {port} has the name of a port of switch "
                        f"{self._switch_ports[port]}; must have another name"
                    )
                params.setdefault(f"intfName{number}", port)
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
