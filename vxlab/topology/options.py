"""What an operator may set of a topology (`--set KEY=VALUE`), checked before anything is built.

`KEY` holds for the whole lab; `KEY.HYPERVISOR` for one hypervisor, where the option allows it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vxlab.errors import UsageError
from vxlab.topology.families import FAMILIES, Family
from vxlab.vteps.kinds import DEFAULT_KIND, KINDS

_LINK_SCOPE = 2  # RFC 4291 2.7: narrower scopes do not leave a node


def _group(text: str) -> str:
    address = ipaddress.ip_address(text)
    if not address.is_multicast or (
        address.version == 6 and address.packed[1] & 0x0F < _LINK_SCOPE
    ):
        raise ValueError
    return str(address)


def _flag(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
        text.lower()
    ]


@dataclass(frozen=True)
class Kind:
    """A type of value: how its text is read, and what is allowed in words."""

    read: Callable[[str], Any]
    allowed: str


def _interface(text: str) -> str:
    return str(ipaddress.IPv4Interface(text))


def _mac(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", text):
        raise ValueError
    return text


FLAG = Kind(_flag, "true or false")
INTERFACE = Kind(_interface, "an IPv4 address with its prefix length, such as 10.0.0.1/24")
MAC = Kind(_mac, "a MAC of one station in lower case, such as 02:00:00:00:00:0a")
GROUP = Kind(
    _group,
    "an IPv4 multicast group, 224.0.0.0 to 239.255.255.255, or one of IPv6, of scope 2 and wider",
)


def checked(what: str, text: str, kind: Kind) -> Any:
    """Read a value that a topology gives; UsageError names it and what is allowed."""
    try:
        return kind.read(text)
    except (ValueError, KeyError):
        raise UsageError(f"{what} {text}: allowed is {kind.allowed}") from None


def whole(low: int, high: int) -> Kind:
    """A whole number from low to high."""

    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return Kind(read, f"a whole number from {low} to {high}")


def choice(*words: str) -> Kind:
    """One of some words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Kind(read, " or ".join(words))


@dataclass(frozen=True)
class Option:
    """One thing that can be set; `per_hypervisor` ones also for a single hypervisor."""

    name: str
    kind: Kind
    default: Any
    help: str
    per_hypervisor: bool = False


COMMON = (
    Option("vtep", choice(*KINDS), DEFAULT_KIND, "kind of VTEP", True),
    Option(
        "datapath",
        choice("auto", "ebpf", "python"),
        "auto",
        "how python VTEPs forward known unicast",
        True,
    ),
    Option("underlay", choice(*FAMILIES), "ipv4", "address family of the underlay"),
    Option("flooding", choice("multicast", "head-end"), "multicast", "how VTEPs flood"),
    Option("ageing", whole(1, 1_000_000), 300, "seconds a learned row lives unrenewed", True),
    Option("limit", whole(1, 10_000_000), 65_536, "MACs a VNI may learn", True),
    Option("group", GROUP, None, "another multicast group for all segments", True),
    Option("ttl", whole(1, 255), 64, "outer TTL", True),
    Option(
        "udp_checksum", FLAG, None, "compute the outer UDP checksum; unset: over IPv6 only", True
    ),
    Option("strict", FLAG, False, "drop packets with reserved VXLAN bits set", True),
    Option("ipv6", FLAG, False, "let the VMs speak IPv6 (and send its periodic noise)"),
    Option("vm_mtu", whole(576, 9000), 1500, "MTU of the VMs' interfaces"),
    Option(
        "underlay_mtu",
        whole(576, 9216),
        1600,
        "MTU of the underlay's links; unset and over IPv6 20 more",
    ),
)


class Settings:
    """The checked values of a topology's options."""

    def __init__(self, options: Iterable[Option], values: Mapping[str, Any]) -> None:
        """Read values (`{"ageing.hv2": "10"}`); UsageError names key, value and what is allowed."""
        self._options = {option.name: option for option in options}
        self._values: dict[tuple[str, str | None], Any] = {}
        for key, value in values.items():
            name, _, node = key.partition(".")
            self._values[name, node or None] = self._read(key, name, node, str(value))

    def _read(self, key: str, name: str, node: str, text: str) -> Any:
        option = self._options.get(name)
        if option is None:
            raise UsageError(f"--set {key}: unknown; allowed: {', '.join(sorted(self._options))}")
        if node and not option.per_hypervisor:
            raise UsageError(f"--set {key}: {name} is one value for the whole lab: --set {name}=…")
        return checked(f"--set {key} =", text, option.kind)

    def __getitem__(self, name: str) -> Any:
        """The value for the whole lab."""
        return self._values.get((name, None), self._options[name].default)

    def of(self, name: str, hypervisor: str) -> Any:
        """The value for one hypervisor."""
        return self._values.get((name, hypervisor), self[name])

    def is_set(self, name: str) -> bool:
        """Whether a value was given for the whole lab."""
        return (name, None) in self._values

    def check_groups(self, family: Family) -> None:
        """UsageError where a group was set that is of another family than the underlay."""
        for (name, node), value in self._values.items():
            if name == "group" and not family.owns(value):
                key = "group" if node is None else f"group.{node}"
                version = family.network.version
                raise UsageError(
                    f"--set {key} = {value}: allowed is an IPv{version} multicast group, "
                    f"since underlay is {family.name}"
                )

    def check_hypervisors(self, known: Iterable[str]) -> None:
        """UsageError where a key names a hypervisor that the topology does not have."""
        allowed = list(known)
        for name, node in self._values:
            if node is not None and node not in allowed:
                raise UsageError(
                    f"--set {name}.{node}: no such hypervisor; allowed: {', '.join(allowed)}"
                )
