"""Options of a topology (`--set KEY=VALUE`), checked before anything is built.

`KEY` is for the whole lab; `KEY.HYPERVISOR` for one hypervisor, where the option allows it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vtep.constants import DEFAULT_AGEING_S, DEFAULT_MAC_LIMIT, DEFAULT_TTL
from vxlab.errors import UsageError
from vxlab.topology.families import FAMILIES, Family, is_reserved_group
from vxlab.topology.places import Place, calling_place, placed, quoted
from vxlab.vteps.kinds import DEFAULT_KIND, KINDS

_LINK_SCOPE = 2  # RFC 4291 section 2.7: narrower scopes do not leave a node
_IPV6_MINIMUM_MTU = 1280  # RFC 8200 section 5; Linux has no IPv6 on links with less
_NO_MAC = "00:00:00:00:00:00"


def _group(text: str) -> str:
    address = ipaddress.ip_address(text)
    if "%" in text:  # an IPv6 zone
        raise ValueError
    if not address.is_multicast or is_reserved_group(address):
        raise ValueError
    if address.version == 6 and address.packed[1] & 0x0F < _LINK_SCOPE:
        raise ValueError
    return str(address)


def _flag(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
        text.lower()
    ]


@dataclass(frozen=True)
class Kind:
    """A type of value: how its text is read, and what it must be, in words."""

    read: Callable[[str], Any]
    allowed: str


def _mac(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", text) or text == _NO_MAC:
        raise ValueError
    return text


FLAG = Kind(_flag, "true or false")
MAC = Kind(_mac, "the MAC of one station in lower case, such as 02:00:00:00:00:0a")
GROUP = Kind(
    _group,
    "an IPv4 multicast group, or an IPv6 one of scope 2 or wider, and no reserved one such as "
    "224.0.0.1",
)


def checked(what: str, text: object, kind: Kind) -> Any:
    """Read a value that a topology gives; UsageError names it and what it must be."""
    if isinstance(text, str):
        try:
            return kind.read(text)
        except (ValueError, KeyError):
            pass
    raise UsageError(f"{what} {quoted(text)}: must be {kind.allowed}")


@placed
def whole(low: int, high: int) -> Kind:
    """A whole number from low to high; UsageError where no number is."""
    if type(low) is not int or type(high) is not int:
        raise UsageError(f"whole({quoted(low)}, {quoted(high)}): must be two whole numbers")
    if low > high:
        raise UsageError(f"whole({low}, {high}): the first must be at most the second")

    def read(text: str) -> int:
        # int() alone also takes "1_000", " 5 " and the digits of other scripts.
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise ValueError
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return Kind(read, f"a whole number from {low} to {high}")


@placed
def choice(*words: str) -> Kind:
    """One of some words; UsageError where there are none."""
    if not words or not all(isinstance(word, str) for word in words):
        raise UsageError(f"choice{quoted(words)}: must be at least one word, each a string")

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
    place: Place | None = field(
        default_factory=calling_place, init=False, repr=False, compare=False
    )


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
    Option(
        "ageing",
        whole(1, 1_000_000),
        DEFAULT_AGEING_S,
        "seconds until a learned entry that is not refreshed expires",
        True,
    ),
    Option("limit", whole(1, 10_000_000), DEFAULT_MAC_LIMIT, "MACs a VTEP learns per VNI", True),
    Option("group", GROUP, None, "another multicast group for all segments", True),
    Option("ttl", whole(1, 255), DEFAULT_TTL, "outer TTL", True),
    Option(
        "udp_checksum", FLAG, None, "compute the outer UDP checksum; unset: over IPv6 only", True
    ),
    Option("strict", FLAG, False, "drop packets with reserved VXLAN bits set", True),
    Option("ipv6", FLAG, False, "enable IPv6 in the VMs, which adds its periodic packets"),
    Option("vm_mtu", whole(576, 9000), 1500, "MTU of the VMs' interfaces"),
    Option(
        "underlay_mtu",
        whole(576, 9216),
        1600,
        "MTU of the underlay's links; unset: 1600 over IPv4, 1620 over IPv6",
    ),
)


class Settings:
    """The checked values of a topology's options."""

    def __init__(self, options: Iterable[Option], values: Mapping[str, Any]) -> None:
        """Read values (`{"ageing.hv2": "10"}`); UsageError names key, value and what it must be."""
        self._options = {option.name: option for option in options}
        self._values: dict[tuple[str, str | None], Any] = {}
        for key, value in values.items():
            name, dot, node = key.partition(".")
            if dot and not node:
                raise UsageError(f"--set {key}={value}: must be {name}.HYPERVISOR=VALUE")
            self._values[name, node or None] = self._read(key, name, node, str(value))

    def _read(self, key: str, name: str, node: str, text: str) -> Any:
        option = self._options.get(name)
        if option is None:
            names = ", ".join(sorted(self._options))
            raise UsageError(f"--set {key}: unknown option; must be one of {names}")
        if node and not option.per_hypervisor:
            raise UsageError(
                f"--set {key}={text}: {name} has one value for the whole lab; "
                f"write --set {name}={text}"
            )
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
                    f"--set {key} = {value}: must be an IPv{version} multicast group, "
                    f"since underlay is {family.name}"
                )

    def check_mtus(self) -> None:
        """UsageError where a link is to carry IPv6 and its MTU is below IPv6's minimum."""
        for mtu, ipv6, reason in (
            ("underlay_mtu", self["underlay"] == "ipv6", "underlay is ipv6"),
            ("vm_mtu", self["ipv6"], "ipv6 is true"),
        ):
            if ipv6 and self[mtu] < _IPV6_MINIMUM_MTU:
                raise UsageError(
                    f"--set {mtu} = {self[mtu]}: must be at least {_IPV6_MINIMUM_MTU}, "
                    f"since {reason}"
                )

    def check_hypervisors(self, known: Iterable[str]) -> None:
        """UsageError where a key names a hypervisor that the topology does not have."""
        names = list(known)
        for name, node in self._values:
            if node is not None and node not in names:
                raise UsageError(
                    f"--set {name}.{node}: no such hypervisor; must be one of {', '.join(names)}"
                )
