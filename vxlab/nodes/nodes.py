"""Mininet's node, switch, link and controller classes as a lab uses them.

Only Mininet and the standard library here: plain `mn --custom` loads this file with the system's
Python. Agents and the controller are processes of their own, started through `parts`.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import Any

from mininet.link import Intf, Link
from mininet.node import Controller, Node, OVSBridge, OVSSwitch

from vxlab.errors import LabError
from vxlab.lab.components import CONTROLLER_PORT, Parts
from vxlab.system.directory import LabDirectory
from vxlab.system.userspace import spread_command
from vxlab.topology.families import IPV6
from vxlab.topology.plan import Hypervisor

_parts: dict[str, Parts] = {}
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_FLAGS = struct.Struct("16sH22x")  # struct ifreq


def shared_parts() -> Parts:
    """The parts of the lab this process builds; one of its own where plain `mn` builds it."""
    if "parts" not in _parts:
        _parts["parts"] = Parts(LabDirectory.for_plain_mininet())
    return _parts["parts"]


def use_parts(parts: Parts) -> None:
    """Give the nodes that are built from now on the parts of a lab."""
    _parts["parts"] = parts


def datapath_kind() -> str:
    """What Mininet calls Open vSwitch's datapath: "kernel" or "user"."""
    chosen = os.environ.get("VXLAB_OVS_DATAPATH")
    return chosen or ("kernel" if os.path.isdir("/sys/module/openvswitch") else "user")


def run(node: Node, command: str) -> str:
    """Run a shell command in a node; LabError with command, node and output if it fails.

    The only caller of Mininet's cmd(), which drops the exit status.
    """
    output: str = node.cmd(command + " ; echo $?")
    text, _, status = output.rstrip().rpartition("\n")
    if status.strip() != "0":
        raise LabError(f"{node.name}: {command!r} failed: {(text or output).strip()}")
    return text


def raise_up(interface: str) -> None:
    """Bring up an interface of this process' own network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        request = _FLAGS.pack(interface.encode(), 0)
        flags = _FLAGS.unpack(fcntl.ioctl(asker, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(asker, _SIOCSIFFLAGS, _FLAGS.pack(interface.encode(), flags | _IFF_UP))


class Nic(Intf):
    """An interface whose address its node configures, together with everything else, in one go."""

    def config(self, **_params: Any) -> dict[str, Any]:
        """Nothing is left to do: Veth made it, with its MTU."""
        return {}


class Veth(Link):
    """A veth pair with an MTU, made and brought up in one command on each side."""

    def __init__(
        self,
        node1: Node,
        node2: Node,
        mtu: int = 1500,
        offloads2: bool = True,
        **params: Any,
    ) -> None:
        """offloads2: whether the second end may leave checksums and segmentation to the first."""
        self.mtu = mtu
        params["intf"] = Nic
        super().__init__(node1, node2, **params)
        if not offloads2:
            run(node2, f"ethtool -K {self.intf2} tx off > /dev/null")

    def makeIntfPair(  # the name is Mininet's
        self,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Node | None = None,
        node2: Node | None = None,
        deleteIntfs: bool = True,
    ) -> None:
        """Make both ends, each in its node's network namespace."""
        if node1 is None or node2 is None:
            raise LabError(f"{intfname1}: a link needs two nodes")
        mtu = f"mtu {self.mtu}"
        spread = f"{spread_command()} ; " if datapath_kind() == "user" else ""
        run(
            node1,
            f"{spread}ip link add name {intfname1} {mtu} up type veth "
            f"peer name {intfname2} {mtu} netns {node2.pid}",
        )
        if node2.inNamespace:
            run(node2, f"ip link set {intfname2} up")
        else:
            raise_up(intfname2)  # without a process: a lab has hundreds of links


class PlainNode(Node):
    """A host configured by one shell command instead of Mininet's many."""

    def config(self, mac: str = "", ip: str = "", **_params: Any) -> dict[str, Any]:
        """Set address and MAC of the default interface, loopback up, and the sysctls."""
        nic = self.defaultIntf()
        # Nobody else has the address: duplicate detection would only cost a second.
        nodad = " nodad" if ":" in ip else ""
        nic.mac = mac
        nic.ip, nic.prefixLen = ip.split("/")
        # IPv6, if any, begins when the MAC is what it is to be: link-local addresses come of it.
        link = f"ip -batch - <<< $'link set {nic} address {mac}\\nlink set lo up'"
        sysctls = (f"echo {value} > /proc/sys/net/{key}" for key, value in self.sysctls())
        run(self, " && ".join([link, *sysctls, f"ip addr add {ip} dev {nic}{nodad}"]))
        return {}

    def sysctls(self) -> list[tuple[str, int]]:
        """Pairs of (path under /proc/sys/net, value)."""
        return []


def quiet_ipv6(interface: str) -> list[tuple[str, int]]:
    """The sysctls of an interface that speaks IPv6 when asked to, and announces nothing."""
    quiet = {"accept_dad": 0, "router_solicitations": 0, "accept_ra": 0, "disable_ipv6": 0}
    return [(f"ipv6/conf/{interface}/{key}", value) for key, value in quiet.items()]


class VmNode(PlainNode):
    """A virtual machine; quiet by default: without IPv6 it sends only what it is asked to."""

    def sysctls(self) -> list[tuple[str, int]]:
        """IPv6 only where the topology wants it."""
        return [("ipv6/conf/all/disable_ipv6", 0 if self.params["ipv6"] else 1)]


class HypervisorNode(PlainNode):
    """A hypervisor: a network namespace with an underlay NIC, trunks and a VTEP agent."""

    def config(self, mac: str = "", ip: str = "", **params: Any) -> dict[str, Any]:
        """Configure the underlay NIC and start the agent; its joins follow when it is up."""
        result = super().config(mac, ip, **params)
        plan: Hypervisor = self.params["plan"]
        if plan.neighbours:
            self._tell_neighbours(plan)
        plan.offload = datapath_kind() == "kernel"
        namespace = f"/proc/{self.pid}/ns/net"
        shared_parts().start_agent(plan.name, plan.kind, plan.agent_config, namespace)
        return result

    def _tell_neighbours(self, plan: Hypervisor) -> None:
        commands = shared_parts().directory.agent_config(plan.name).with_suffix(".neighbours")
        commands.write_text(
            "".join(
                f"neigh replace {ip} lladdr {mac} dev {plan.interface} nud permanent\n"
                for ip, mac in plan.neighbours.items()
            )
        )
        run(self, f"ip -batch {commands}")

    def sysctls(self) -> list[tuple[str, int]]:
        """Room for as many groups as there are segments; IPv6 on an IPv6 underlay's NIC alone."""
        plan: Hypervisor = self.params["plan"]
        groups = max(20, len(plan.vlans))
        return [
            ("ipv6/conf/all/disable_ipv6", 1),
            ("ipv6/conf/default/disable_ipv6", 1),  # of the devices a VTEP makes
            ("ipv4/igmp_max_memberships", groups),
            *(quiet_ipv6(plan.interface) if plan.family is IPV6 else []),
        ]

    def terminate(self) -> None:
        """End the agent before its namespace goes."""
        shared_parts().stop_agent(self.params["plan"].name)
        super().terminate()


class VirtualSwitch(OVSBridge):
    """A hypervisor's virtual switch: access ports for VMs, a trunk to the agent; it learns."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **{"datapath": datapath_kind(), **params})

    def start(self, controllers: list[Controller]) -> None:
        """Start it, with each VM's port in the VM's VLAN and the trunk carrying all."""
        super().start(controllers)
        for intf in self.intfList():
            if "vlan" in intf.params:
                self.vsctl(f" -- set Port {intf} tag={intf.params['vlan']}")


class UnderlaySwitch(OVSSwitch):
    """A switch of the underlay: OpenFlow 1.3, ruled by the controller, forwarding on without it."""

    def __init__(self, name: str, **params: Any) -> None:
        defaults = {"datapath": datapath_kind(), "protocols": "OpenFlow13", "failMode": "secure"}
        super().__init__(name, **{**defaults, **params})


class UnderlayController(Controller):
    """The Ryu controller of the underlay, a process of its own."""

    def __init__(self, name: str, **params: Any) -> None:
        params.pop("command", None)
        super().__init__(name, port=CONTROLLER_PORT, **params)
        shared_parts().start_controller()  # it imports while the links are made

    def checkListening(self) -> None:  # the name is Mininet's
        """Nothing to ask here: the controller says itself if its port is taken."""

    def start(self) -> None:
        """Wait until it listens, so that switches connect at once."""
        shared_parts().await_controller()

    def stop(self, *_args: Any, **_params: Any) -> None:
        """End the process."""
        shared_parts().stop_controller()
        Node.stop(self)
