"""What the nodes of a lab may be called, and what their interfaces are called. Pure.

A name is used in the Mininet CLI, on command lines, as a file name and as the name of a network
namespace. Linux limits the name of an interface to 15 characters, so interface names are shortened
where a node's name is long.
"""

from __future__ import annotations

import keyword
import re
import zlib

from vxlab.errors import UsageError
from vxlab.topology.places import quoted

INTERFACE_LENGTH = 15  # IFNAMSIZ of Linux is 16, with the NUL at the end
NODE_LENGTH = 32  # sockets are called after hypervisors, and their paths have at most 107 bytes
SWITCH_LENGTH = INTERFACE_LENGTH  # Open vSwitch makes an interface with the name of the bridge

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

# The commands of Mininet's CLI, and those that a lab's CLI adds. A unit test compares them.
CLI_COMMANDS = frozenset(
    (
        *("EOF", "dpctl", "dump", "events", "exit", "fdb", "groups", "gterm", "help", "intfs"),
        *("iperf", "iperfudp", "link", "links", "net", "nodes", "noecho", "pingall"),
        *("pingallfull", "pingpair", "pingpairfull", "ports", "px", "py", "quit", "sh", "source"),
        *("stats", "switch", "time", "wait", "x", "xterm"),
    )
)
# Names that a lab itself uses: Mininet's controller, interfaces, log files, `vxlab restart`.
_RESERVED = frozenset(
    (
        *("all", "c0", "controller", "default", "forkserver", "lab", "lo"),
        *("ovs-netdev", "ovs-system", "ovs-vswitchd", "ovsdb-server"),
    )
)
# Devices that the kernel may put in a new network namespace; a switch is an interface there.
_KERNEL_DEVICES = frozenset(
    ("erspan0", "gre0", "gretap0", "ip6_vti0", "ip6gre0", "ip6tnl0", "ip_vti0", "sit0", "tunl0")
)
_BRIDGE = re.compile(r"br\d+(x\d+)?")  # the virtual switches of hypervisors
_PORT = re.compile(r".*-eth\d+")  # the ports of switches


def check_name(kind: str, name: object) -> str:
    """A node's name, if it is valid; UsageError names the rule that it breaks.

    kind: "VM", "hypervisor", "machine" or "switch".
    """
    if not isinstance(name, str):
        raise UsageError(
            f"{kind} {quoted(name)}: the name must be a string, not {type(name).__name__}"
        )
    what = f"{kind} {name if _NAME.fullmatch(name) else quoted(name)}"
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{what}: the name must consist of the letters A-Z and a-z, digits, '_', '-' and '.', "
            "and start with a letter or digit"
        )
    longest = SWITCH_LENGTH if kind == "switch" else NODE_LENGTH
    if len(name) > longest:
        raise UsageError(
            f"{what}: the name has {len(name)} characters; it must have at most {longest}"
        )
    if reason := _taken_by(kind, name):
        raise UsageError(f"{what}: the name must not be {reason}; choose another")
    return name


def _taken_by(kind: str, name: str) -> str | None:
    """What a name means already; None where it is free."""
    if name in CLI_COMMANDS:
        return "a command of the Mininet CLI"
    if keyword.iskeyword(name):
        return "a keyword of Python, which the `py` command of the Mininet CLI reads"
    if name in _RESERVED or (kind == "switch" and name in _KERNEL_DEVICES):
        return "one that the lab or the kernel uses itself"
    if _BRIDGE.fullmatch(name):
        return "one of the virtual switches' (br1, br2, br1x1, ...)"
    if _PORT.fullmatch(name):
        return "one of the switch ports' (s1-eth1, br1-eth1, ...)"
    return None


def interface_name(node: str, suffix: str) -> str:
    """The name of a node's interface: node and suffix ("A", "-eth0": "A-eth0").

    Where that is longer than 15 characters, the node's name is cut and its CRC-32 is appended, so
    that the same name gives the same interface in every run.
    """
    if len(node) + len(suffix) <= INTERFACE_LENGTH:
        return node + suffix
    digest = f"{zlib.crc32(node.encode()) & 0xFFFF:04x}"
    return node[: INTERFACE_LENGTH - len(suffix) - len(digest)] + digest + suffix


def nic(node: str) -> str:
    """The first interface of a VM, a hypervisor or a machine."""
    return interface_name(node, "-eth0")


def trunk_name(hypervisor: str, trunk: int = 0) -> str:
    """The hypervisor's end of its trunk number `trunk`, counted from 0."""
    return interface_name(hypervisor, f"-trunk{trunk or ''}")


def is_port_of(switch: str, interface: str) -> bool:
    """Whether an interface is a port of a switch, by its name."""
    suffix = re.search(r"-eth\d+$", interface)
    return suffix is not None and interface == interface_name(switch, suffix[0])
