"""The agent's configuration file (TOML), checked: what cannot be does not come to exist.

All keys; where one has a default, it stands behind it.

name = "hv1"                    default: the host's name
control = "/run/vtep/hv1.sock"  default: none, and then vtep.ctl has nothing to talk to
datapath = "auto"               "ebpf": the kernel's or none; "python"; auto: ebpf where it can be
[underlay]
interface = "eth0"              the NIC that carries the tunnels; needed
local = "192.0.2.11"            its IP address, the outer source of all packets; needed
port = 4789                     UDP destination port (RFC 7348 section 5)
ttl = 64                        outer TTL, of multicast too; 1 to 255, or "inherit" the inner one
tos = 0                         outer TOS or traffic class, a multiple of 4, or "inherit" the inner
                                one; its ECN field is the inner one anyway (RFC 6040)
df = true                       set DF (IPv4): routers do not fragment; the VTEP never does
icmp_too_big = true             tell a VM what fits the tunnel when its packet did not
trusted = []                    addresses of VTEPs: packets of others are dropped; none: all trusted
udp_checksum = false            compute the outer UDP checksum; default over IPv6: true
source_ports = [49152, 65535]   range of the outer source port, a hash of the inner flow
strict = false                  drop packets with reserved bits set (RFC 7348: they are ignored)
offload = true                  false: the NIC gets no super-frames (some switches take none)
[fdb]
ageing_s = 300                  how long a row lives unrenewed
limit = 65536                   rows a VNI may learn; above it frames are forwarded all the same
[[port]]
interface = "trunk0"            towards the VMs; each port has its own 4094 VLANs; needed
[[segment]]
vni = 10                        needed
group = "239.1.1.10"            several segments may share one; needed, or else
remotes = ["192.0.2.12"]        flood by one packet to each of these (head-end replication); the
                                VTEP's own address may be among them and is left out
vlan = 1                        default: none, the untagged frames of the port
port = "trunk0"                 default: the port, where there is but one
inner_tags = "strip"            tags inside: off outwards, dropped inwards; or "carry"
suppress_arp = false            answer ARP and neighbour solicitations for VMs known to be remote
[[static]]                      rows that no frame moves; several of one MAC: several remotes, and
vni = 10                        each flow keeps to one; needed
mac = "02:00:00:00:00:0c"       needed
remote = "192.0.2.13"           needed
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vtep.checks import (
    ConfigError,
    address,
    addresses,
    flag,
    group,
    mac,
    refuse,
    text,
    vni,
    whole,
)
from vtep.constants import (
    DEFAULT_AGEING_S,
    DEFAULT_MAC_LIMIT,
    DEFAULT_TTL,
    FIRST_SOURCE_PORT,
    LAST_SOURCE_PORT,
    LAST_VLAN,
    VXLAN_PORT,
)
from vtep.ethernet import mac_text
from vtep.wire import is_ipv6

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATAPATHS = ("auto", "ebpf", "python")
_TTLS = range(1, 256)
_CLASSES = range(0, 256, 4)  # the two bits below a DSCP are ECN, and the inner packet's


@dataclass(frozen=True)
class UnderlayConfig:
    """The tunnel side."""

    interface: str
    local: str
    port: int = VXLAN_PORT
    ttl: int | None = DEFAULT_TTL  # None: inherit
    dscp: int | None = 0  # None: inherit
    df: bool = True
    icmp_too_big: bool = True
    trusted: tuple[str, ...] = ()
    udp_checksum: bool = False
    source_ports: tuple[int, int] = (FIRST_SOURCE_PORT, LAST_SOURCE_PORT)
    strict: bool = False
    offload: bool = True


@dataclass(frozen=True)
class SegmentConfig:
    """One VNI."""

    vni: int
    group: str | None
    remotes: tuple[str, ...]
    vlan: int | None
    port: str
    carry_tags: bool
    suppress_arp: bool


@dataclass(frozen=True)
class StaticConfig:
    """One row that stands from the start."""

    vni: int
    mac: bytes
    remote: str


@dataclass(frozen=True)
class Config:
    """All an agent is told."""

    name: str
    control: str | None
    underlay: UnderlayConfig
    ageing_s: int
    limit: int
    ports: tuple[str, ...]
    segments: tuple[SegmentConfig, ...]
    static: tuple[StaticConfig, ...]
    datapath: str = "auto"

    def __post_init__(self) -> None:
        """What only shows when all is known: double uses, unknown ports and VNIs."""
        if self.underlay.interface in self.ports:
            raise refuse("port.interface", self.underlay.interface, "any but underlay.interface")
        for row in self.segments:
            if row.port not in self.ports:
                raise refuse("segment.port", row.port, f"one of {', '.join(self.ports)}")
            for destination in (row.group, *row.remotes):
                self._check_family("segment", destination)
        for trusted in self.underlay.trusted:
            self._check_family("underlay.trusted", trusted)
        vnis = {segment.vni for segment in self.segments}
        for static in self.static:
            if static.vni not in vnis:
                raise refuse("static.vni", static.vni, "a VNI that a [[segment]] has")
            if static.remote == self.underlay.local:
                raise refuse("static.remote", static.remote, "any but underlay.local")
            self._check_family("static.remote", static.remote)
        _once(f"port.interface = {port}" for port in self.ports)
        _once(f"segment.vni = {row.vni}" for row in self.segments)
        _once(f"segment.vlan = {row.vlan} of port {row.port}" for row in self.segments)
        _once(
            f"static.mac = {mac_text(row.mac)} of vni {row.vni} with remote {row.remote}"
            for row in self.static
        )

    def _check_family(self, key: str, destination: str | None) -> None:
        """The VTEP speaks one IP version."""
        if destination and is_ipv6(destination) != is_ipv6(self.underlay.local):
            raise refuse(key, destination, "an address of the local one's family")


def _once(places: Iterable[str]) -> None:
    """ConfigError for the first that comes twice."""
    seen = set()
    for place in places:
        if place in seen:
            raise ConfigError(f"{place}: there twice; allowed is once")
        seen.add(place)


def parse(source: str) -> Config:
    """Read a configuration file's text; ConfigError says what is wrong with it."""
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"no TOML: {error}") from None
    table = _Table("", document)
    ports = tuple(_Table("port.", row).only("interface") for row in table.rows("port"))
    if not ports:
        raise ConfigError("port: missing; allowed is one [[port]] or more")
    control = table.take("control", None)
    config = Config(
        name=text("name", table.take("name", socket.gethostname())),
        control=None if control is None else text("control", control),
        underlay=_underlay(_Table("underlay.", table.table("underlay"))),
        **_fdb(_Table("fdb.", table.table("fdb"))),
        ports=ports,
        segments=tuple(segment(row, ports) for row in table.rows("segment")),
        static=tuple(_static(_Table("static.", row)) for row in table.rows("static")),
        datapath=_datapath(table.take("datapath", "auto")),
    )
    table.end()
    return config


def _datapath(value: Any) -> str:
    if value not in DATAPATHS:
        raise refuse("datapath", value, " or ".join(f'"{word}"' for word in DATAPATHS))
    return str(value)


class _Table:
    """A TOML table that is emptied as it is read, so that what is left over is unknown."""

    def __init__(self, prefix: str, values: Mapping[str, Any]) -> None:
        self._prefix = prefix
        self._values = dict(values)
        self._taken: list[str] = []

    def take(self, key: str, *default: Any) -> Any:
        """Remove and return a value; ConfigError if it is missing and has no default."""
        self._taken.append(key)
        if key in self._values:
            return self._values.pop(key)
        if not default:
            raise ConfigError(f"{self._prefix}{key}: missing")
        return default[0]

    def only(self, key: str) -> str:
        """The one key a table may have."""
        value = text(self._prefix + key, self.take(key))
        self.end()
        return value

    def table(self, key: str) -> dict[str, Any]:
        """A sub-table; empty if it is not there."""
        value = self.take(key, {})
        if not isinstance(value, dict):
            raise refuse(key, value, f"a table [{key}]")
        return value

    def rows(self, key: str) -> list[dict[str, Any]]:
        """An array of tables; empty if it is not there."""
        value = self.take(key, [])
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise refuse(key, value, f"tables [[{key}]]")
        return value

    def end(self) -> None:
        """ConfigError if something is left."""
        for key in self._values:
            raise ConfigError(f"{self._prefix}{key}: unknown; allowed: {', '.join(self._taken)}")


def _underlay(table: _Table) -> UnderlayConfig:
    interface = text("underlay.interface", table.take("interface"))
    local = address("underlay.local", table.take("local"))
    config = UnderlayConfig(
        interface=interface,
        local=local,
        port=whole("underlay.port", table.take("port", VXLAN_PORT), 1, 65535),
        ttl=_inherited("underlay.ttl", table.take("ttl", DEFAULT_TTL), _TTLS, "a whole number"),
        dscp=_inherited("underlay.tos", table.take("tos", 0), _CLASSES, "a multiple of 4"),
        df=flag("underlay.df", table.take("df", True)),
        icmp_too_big=flag("underlay.icmp_too_big", table.take("icmp_too_big", True)),
        trusted=addresses("underlay.trusted", table.take("trusted", [])),
        udp_checksum=flag("underlay.udp_checksum", table.take("udp_checksum", is_ipv6(local))),
        source_ports=_range(table.take("source_ports", [FIRST_SOURCE_PORT, LAST_SOURCE_PORT])),
        strict=flag("underlay.strict", table.take("strict", False)),
        offload=flag("underlay.offload", table.take("offload", True)),
    )
    table.end()
    return config


def _inherited(key: str, value: Any, allowed: range, words: str) -> int | None:
    """A number, or None for "inherit"."""
    if value == "inherit":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise refuse(key, value, f'"inherit", or {words} from {allowed[0]} to {allowed[-1]}')
    return value


def _range(value: Any) -> tuple[int, int]:
    allowed = "[first, last] with 1 <= first <= last <= 65535"
    if not (isinstance(value, list) and len(value) == 2):
        raise refuse("underlay.source_ports", value, allowed)
    first, last = (whole("underlay.source_ports", port, 1, 65535) for port in value)
    if first > last:
        raise refuse("underlay.source_ports", value, allowed)
    return first, last


def _fdb(table: _Table) -> dict[str, int]:
    values = {
        "ageing_s": whole("fdb.ageing_s", table.take("ageing_s", DEFAULT_AGEING_S), 1, 1_000_000),
        "limit": whole("fdb.limit", table.take("limit", DEFAULT_MAC_LIMIT), 1, 10_000_000),
    }
    table.end()
    return values


def segment(row: Mapping[str, Any], ports: tuple[str, ...]) -> SegmentConfig:
    """One segment from a file, or from the operator at run time."""
    table = _Table("segment.", row)
    number = vni("segment.vni", table.take("vni"))
    vlan = table.take("vlan", None)
    tags = table.take("inner_tags", "strip")
    if tags not in ("strip", "carry"):
        raise refuse("segment.inner_tags", tags, '"strip" or "carry"')
    default = (ports[0],) if len(ports) == 1 else ()
    chosen, remotes = table.take("group", None), table.take("remotes", [])
    if (chosen is None) == (not remotes):
        raise ConfigError("segment: allowed is either a group or a list of remotes")
    config = SegmentConfig(
        vni=number,
        group=None if chosen is None else group("segment.group", chosen),
        remotes=addresses("segment.remotes", remotes),
        vlan=None if vlan is None else whole("segment.vlan", vlan, 1, LAST_VLAN),
        port=text("segment.port", table.take("port", *default)),
        carry_tags=tags == "carry",
        suppress_arp=flag("segment.suppress_arp", table.take("suppress_arp", False)),
    )
    table.end()
    return config


def _static(table: _Table) -> StaticConfig:
    config = StaticConfig(
        vni=vni("static.vni", table.take("vni")),
        mac=mac("static.mac", table.take("mac")),
        remote=address("static.remote", table.take("remote")),
    )
    table.end()
    return config
