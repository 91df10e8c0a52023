"""The agent's configuration file (TOML), parsed and validated. Invalid configurations are rejected.

This list has all keys, each with its default or an example.

name = "hv1"                    default: the host's name
control = "/run/vtep/hv1.sock"  control socket; default: none, and vtep.ctl cannot be used
datapath = "auto"               "ebpf", "python", or "auto": eBPF if possible, else Python
[underlay]
interface = "eth0"              the NIC of the underlay; required
local = "192.0.2.11"            its IP address, the outer source of all packets; required
port = 4789                     UDP destination port (RFC 7348 section 5)
ttl = 64                        outer TTL, also of multicast; 1 to 255, or "inherit" the inner TTL
tos = 0                         outer TOS or traffic class, a multiple of 4, or "inherit" the inner
                                one; the ECN field is always the inner one (RFC 6040)
df = true                       set DF (IPv4), so that routers do not fragment; VTEPs never do
icmp_too_big = true             report the MTU of the tunnel to a VM whose packet was too big
trusted = []                    drop packets of VTEPs with other addresses; empty: trust all
udp_checksum = false            compute the outer UDP checksum; default over IPv6: true
source_ports = [49152, 65535]   range of the outer source port, a hash of the inner flow
strict = false                  drop packets with reserved bits set (RFC 7348: ignore the bits)
offload = true                  false: send no super-frames to the NIC, for switches without GSO
[fdb]
ageing_s = 300                  seconds until a row that is not refreshed expires
limit = 65536                   rows that a VNI may learn; further MACs are forwarded, not learned
[[port]]
interface = "trunk0"            the side of the VMs; each port has its own 4094 VLANs; required
[[segment]]
vni = 10                        required
group = "239.1.1.10"            several segments may share one; required, unless there are
remotes = ["192.0.2.12"]        flood by one packet to each of these (head-end replication); the
                                VTEP's own address is ignored
vlan = 1                        default: the untagged frames of the port
port = "trunk0"                 default: the only port
inner_tags = "strip"            or "carry". Strip: remove VMs' tags, drop received frames with tags
suppress_arp = false            answer ARP and neighbour solicitations for known remote VMs
[[static]]                      rows that frames never change; several rows of one MAC are several
vni = 10                        remotes, of which each flow uses one; required
mac = "02:00:00:00:00:0c"       required
remote = "192.0.2.13"           required
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
    must_be,
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

DATA_PATHS = ("auto", "ebpf", "python")
_TTLS = range(1, 256)
_CLASSES = range(0, 256, 4)  # the two lowest bits are the ECN field


@dataclass(frozen=True)
class UnderlayConfig:
    """The table [underlay]."""

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
    """One [[segment]]."""

    vni: int
    group: str | None
    remotes: tuple[str, ...]
    vlan: int | None
    port: str
    carry_tags: bool
    suppress_arp: bool


@dataclass(frozen=True)
class StaticConfig:
    """One [[static]] row."""

    vni: int
    mac: bytes
    remote: str


@dataclass(frozen=True)
class Config:
    """The whole configuration."""

    name: str
    control: str | None
    underlay: UnderlayConfig
    ageing_s: int
    limit: int
    ports: tuple[str, ...]
    segments: tuple[SegmentConfig, ...]
    static: tuple[StaticConfig, ...]
    data_path: str = "auto"

    def __post_init__(self) -> None:
        """Check what needs all tables: duplicates, unknown ports and VNIs, address families."""
        if self.underlay.interface in self.ports:
            raise must_be(
                "port.interface",
                self.underlay.interface,
                "another interface than underlay.interface",
            )
        for row in self.segments:
            if row.port not in self.ports:
                raise must_be("segment.port", row.port, f"one of {', '.join(self.ports)}")
            for destination in (row.group, *row.remotes):
                self._check_family("segment", destination)
        for trusted in self.underlay.trusted:
            self._check_family("underlay.trusted", trusted)
        vnis = {segment.vni for segment in self.segments}
        for static in self.static:
            if static.vni not in vnis:
                raise must_be("static.vni", static.vni, "a VNI that a [[segment]] has")
            if static.remote == self.underlay.local:
                raise must_be("static.remote", static.remote, "another address than underlay.local")
            self._check_family("static.remote", static.remote)
        _once(f"port.interface = {port}" for port in self.ports)
        _once(f"segment.vni = {row.vni}" for row in self.segments)
        _once(f"segment.vlan = {row.vlan} of port {row.port}" for row in self.segments)
        _once(
            f"static.mac = {mac_text(row.mac)} of vni {row.vni} with remote {row.remote}"
            for row in self.static
        )

    def _check_family(self, key: str, destination: str | None) -> None:
        """A VTEP uses one IP version."""
        if destination and is_ipv6(destination) != is_ipv6(self.underlay.local):
            raise must_be(key, destination, "of the same address family as underlay.local")


def _once(places: Iterable[str]) -> None:
    """ConfigError for the first duplicate."""
    seen = set()
    for place in places:
        if place in seen:
            raise ConfigError(f"{place}: given twice; must be unique")
        seen.add(place)


def parse(source: str) -> Config:
    """Parse the text of a configuration file; ConfigError names the first mistake."""
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"invalid TOML: {error}") from None
    table = _Table("", document)
    ports = tuple(_Table("port.", row).only("interface") for row in table.rows("port"))
    if not ports:
        raise ConfigError("port: missing; at least one [[port]] is required")
    control = table.take("control", None)
    config = Config(
        name=text("name", table.take("name", socket.gethostname())),
        control=None if control is None else text("control", control),
        underlay=_underlay(_Table("underlay.", table.table("underlay"))),
        **_fdb(_Table("fdb.", table.table("fdb"))),
        ports=ports,
        segments=tuple(segment(row, ports) for row in table.rows("segment")),
        static=tuple(_static(_Table("static.", row)) for row in table.rows("static")),
        data_path=_data_path(table.take("datapath", "auto")),
    )
    table.end()
    return config


def _data_path(value: Any) -> str:
    if value not in DATA_PATHS:
        raise must_be("datapath", value, " or ".join(f'"{word}"' for word in DATA_PATHS))
    return str(value)


class _Table:
    """A TOML table from which keys are taken one by one; the keys left at the end are unknown."""

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
        """The value of the only key that the table may have."""
        value = text(self._prefix + key, self.take(key))
        self.end()
        return value

    def table(self, key: str) -> dict[str, Any]:
        """A sub-table; empty if it is missing."""
        value = self.take(key, {})
        if not isinstance(value, dict):
            raise must_be(key, value, f"a table [{key}]")
        return value

    def rows(self, key: str) -> list[dict[str, Any]]:
        """An array of tables; empty if it is missing."""
        value = self.take(key, [])
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise must_be(key, value, f"tables [[{key}]]")
        return value

    def end(self) -> None:
        """ConfigError if a key is left."""
        for key in self._values:
            raise ConfigError(
                f"{self._prefix}{key}: unknown; must be one of {', '.join(self._taken)}"
            )


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


def _inherited(key: str, value: Any, values: range, words: str) -> int | None:
    """A number, or None for "inherit"."""
    if value == "inherit":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in values:
        raise must_be(key, value, f'"inherit", or {words} from {values[0]} to {values[-1]}')
    return value


def _range(value: Any) -> tuple[int, int]:
    expected = "[first, last] with 1 <= first <= last <= 65535"
    if not (isinstance(value, list) and len(value) == 2):
        raise must_be("underlay.source_ports", value, expected)
    first, last = (whole("underlay.source_ports", port, 1, 65535) for port in value)
    if first > last:
        raise must_be("underlay.source_ports", value, expected)
    return first, last


def _fdb(table: _Table) -> dict[str, int]:
    values = {
        "ageing_s": whole("fdb.ageing_s", table.take("ageing_s", DEFAULT_AGEING_S), 1, 1_000_000),
        "limit": whole("fdb.limit", table.take("limit", DEFAULT_MAC_LIMIT), 1, 10_000_000),
    }
    table.end()
    return values


def segment(row: Mapping[str, Any], ports: tuple[str, ...]) -> SegmentConfig:
    """One segment, from a file or from a `vni add` command."""
    table = _Table("segment.", row)
    number = vni("segment.vni", table.take("vni"))
    vlan = table.take("vlan", None)
    tags = table.take("inner_tags", "strip")
    if tags not in ("strip", "carry"):
        raise must_be("segment.inner_tags", tags, '"strip" or "carry"')
    default = (ports[0],) if len(ports) == 1 else ()
    chosen, remotes = table.take("group", None), table.take("remotes", [])
    if (chosen is None) == (not remotes):
        raise ConfigError("segment: must have either a group or a list of remotes")
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
