"""The configurations that the VTEP under test is started with.

    VM port                      VTEP under test               underlay
    port0, frames tagged     VLAN <-> VNI <-> group       eth0  192.0.2.5 and 192.0.2.1
    with the VLAN                                              or 2001:db8::1
A VTEP without a trunk has a port for each segment instead: port0, port1, port2. The configuration
names the second of the IPv4 addresses as the VTEP's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from vtep.constants import VXLAN_PORT

OWN4, OTHER_OWN4, OWN6 = "192.0.2.1", "192.0.2.5", "2001:db8::1"
REMOTES4 = ("192.0.2.11", "192.0.2.12", "192.0.2.13")
REMOTES6 = ("2001:db8::11", "2001:db8::12", "2001:db8::13")
PORT_INTERFACES, UNDERLAY_INTERFACE = ("port0", "port1", "port2"), "eth0"
STATIC_MAC = "02:57:fe:00:00:01"


@dataclass(frozen=True)
class SegmentSetup:
    """One VNI of the VTEP under test; vlan None means untagged frames."""

    vni: int
    group: str
    vlan: int | None
    extra: tuple[tuple[str, Any], ...] = ()  # keys of the configuration beyond these


GREEN = SegmentSetup(10, "239.1.1.10", 1)
BLUE = SegmentSetup(20, "239.1.1.20", 2)
LARGE = SegmentSetup(0xABCDEF, "239.1.1.10", 3)  # shares the group of GREEN; no two bytes alike


@dataclass(frozen=True)
class Setup:
    """A configuration. `port` is its UDP port, whether the file names it or not.

    Only the row that judges the default omits it: a wrong default must not fail all other rows.
    """

    name: str
    segments: tuple[SegmentSetup, ...] = (GREEN, BLUE, LARGE)
    underlay: dict[str, Any] = field(default_factory=dict, hash=False)
    fdb: dict[str, int] = field(default_factory=dict, hash=False)
    ipv6: bool = False
    static_remotes: tuple[int, ...] = (1,)  # the remotes of the static entry for STATIC_MAC
    mtu: int = 1550  # of the underlay: an inner IP packet of 1500 bytes just fits
    port: int = VXLAN_PORT
    names_port: bool = True  # otherwise the VTEP uses its default
    vlan: int | None = None  # an 802.1Q tag on the underlay

    @property
    def options(self) -> set[str]:
        """The keys that BASE does not have, with and without the name of their table."""
        keys = {f"underlay.{key}" for key in self.underlay} | {f"fdb.{key}" for key in self.fdb}
        keys |= {f"segment.{key}" for segment in self.segments for key, _ in segment.extra}
        keys |= {"static.several"} if len(self.static_remotes) > 1 else set()
        return keys | {key.partition(".")[2] for key in keys}

    @property
    def own(self) -> str:
        """The VTEP's address."""
        return OWN6 if self.ipv6 else OWN4

    @property
    def remotes(self) -> tuple[str, ...]:
        """The addresses of the remote VTEPs that the test bed simulates."""
        return REMOTES6 if self.ipv6 else REMOTES4

    @property
    def interface(self) -> str:
        """The underlay interface."""
        return UNDERLAY_INTERFACE if self.vlan is None else f"{UNDERLAY_INTERFACE}.{self.vlan}"

    def ports(self, trunk: bool) -> tuple[str, ...]:
        """The interfaces towards the VMs: one for all segments, or one for each."""
        return PORT_INTERFACES[: 1 if trunk else len(self.segments)]

    def text(self, control: str, multicast: bool, trunk: bool) -> str:
        """The configuration file, TOML.

        Without multicast, segments have lists of remotes. Without trunk, each has its own port.
        """
        underlay = {"interface": self.interface, "local": self.own, **self.underlay}
        if self.names_port:
            underlay["port"] = self.port
        lines = [
            *_lines({"name": "dut", "control": control}),
            *("[underlay]", *_lines(underlay)),
            *("[fdb]", *_lines(self.fdb)),
        ]
        for port in self.ports(trunk):
            lines += ["[[port]]", *_lines({"interface": port})]
        for number, segment in enumerate(self.segments):
            port = self.ports(trunk)[0 if trunk else number]
            row = {**self._segment(segment, multicast), "port": port}
            if not trunk:
                row.pop("vlan", None)
            lines += ["[[segment]]", *_lines(row)]
        first = self.segments[0].vni
        for number in self.static_remotes:
            static = {"vni": first, "mac": STATIC_MAC, "remote": self.remotes[number]}
            lines += ["[[static]]", *_lines(static)]
        return "\n".join(lines) + "\n"

    def _segment(self, segment: SegmentSetup, multicast: bool) -> dict[str, Any]:
        extra = dict(segment.extra)
        listed = "remotes" in extra or not multicast
        flood = {"remotes": list(self.remotes)} if listed else {"group": segment.group}
        vlan = {} if segment.vlan is None else {"vlan": segment.vlan}
        return {"vni": segment.vni, **flood, **vlan, **extra}


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


_SIX = (SegmentSetup(10, "ff15::1:10", 1), SegmentSetup(20, "ff15::1:20", 2))

_PLAIN_GREEN = SegmentSetup(10, "239.1.1.10", None)
_CARRYING = replace(_PLAIN_GREEN, extra=(("inner_tags", "carry"),))
_LISTED = replace(BLUE, extra=(("remotes", list(REMOTES4)),))
_ANSWERING = replace(GREEN, extra=(("suppress_arp", True),))

BASE = Setup("base")
ACCESS = Setup("access", segments=(_PLAIN_GREEN,))
CARRY = Setup("carry", segments=(_CARRYING,))
DEFAULT_PORT = Setup("default port", names_port=False)
OTHER_PORT = Setup("port", underlay={"port": 8472}, port=8472)
CHECKSUM = Setup("checksum", underlay={"udp_checksum": True})
STRICT = Setup("strict", underlay={"strict": True})
SHORT = Setup("short", fdb={"ageing_s": 2, "limit": 16})
SIX = Setup("ipv6", segments=_SIX, ipv6=True, mtu=1570)
SIX_ZERO = replace(SIX, name="ipv6-zero", underlay={"udp_checksum": False})
TRUSTED = Setup("trusted", underlay={"trusted": list(REMOTES4[:2])})
SOURCE_PORTS = (50_000, 50_009)
RANGE = Setup("range", underlay={"source_ports": list(SOURCE_PORTS)})
FIXED = Setup("fixed", underlay={"ttl": 7, "tos": 0x48, "df": False})
SILENT = Setup("silent", underlay={"icmp_too_big": False})
INHERIT = Setup("inherit", underlay={"ttl": "inherit", "tos": "inherit"})
HEAD_END = Setup("head-end", segments=(GREEN, _LISTED))
SEVERAL = Setup("several", static_remotes=(1, 2))
SUPPRESS = Setup("suppress", segments=(_ANSWERING,))
LIFE = Setup(
    "life", segments=(SegmentSetup(10, "239.9.1.10", 1), SegmentSetup(20, "239.137.1.10", 2))
)
TAGGED = Setup("tagged", vlan=100)
