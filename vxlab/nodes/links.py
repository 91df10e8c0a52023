"""The links of a lab: veth pairs, made with few commands since a lab has hundreds of them."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import Any

from mininet.link import Intf, Link
from mininet.node import Node

from vxlab.errors import LabError
from vxlab.nodes.shell import run
from vxlab.nodes.switches import default_ovs_datapath
from vxlab.system.vswitchd_tuning import receive_command

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_FLAGS = struct.Struct("16sH22x")  # struct ifreq: name, flags, padding


class Nic(Intf):
    """An interface that Veth has configured completely."""

    def config(self, **_params: Any) -> dict[str, Any]:
        """Do nothing: Veth sets the MTU, and the node sets MAC and address with all the rest."""
        return {}


class Veth(Link):
    """A veth pair with an MTU, made and brought up in one command on each side."""

    def __init__(
        self,
        node1: Node,
        node2: Node,
        mtu: int = 1500,
        offloads2: bool = True,
        ovs_datapath: str | None = None,
        **params: Any,
    ) -> None:
        """Make the pair.

        mtu: bytes, of both ends.
        offloads2: whether the second end may leave checksums and segmentation to the first.
        ovs_datapath: "kernel" or "user", of the switches at the ends; None: what Mininet uses here.
        """
        self.mtu = mtu
        self.ovs_datapath = ovs_datapath or default_ovs_datapath()
        params["intf"] = Nic
        super().__init__(node1, node2, **params)
        if not offloads2:
            purpose = f"switch off the offloads of {self.intf2}"
            run(node2, purpose, f"ethtool -K {self.intf2} tx off > /dev/null")

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
            raise LabError(f"link {intfname1} - {intfname2}: needs two nodes")
        purpose = f"make the link {intfname1} - {intfname2} to {node2.name}"
        mtu = f"mtu {self.mtu}"
        first = f"{receive_command()} ; " if self.ovs_datapath == "user" else ""
        run(
            node1,
            purpose,
            f"{first}ip link add name {intfname1} {mtu} up type veth "
            f"peer name {intfname2} {mtu} netns {node2.pid}",
        )
        if node2.inNamespace:
            run(node2, purpose, f"ip link set {intfname2} up")
        else:
            raise_up(intfname2)


def raise_up(interface: str) -> None:
    """Bring up an interface of this process's own network namespace, without another process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        request = _FLAGS.pack(interface.encode(), 0)
        flags = _FLAGS.unpack(fcntl.ioctl(asker, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(asker, _SIOCSIFFLAGS, _FLAGS.pack(interface.encode(), flags | _IFF_UP))
