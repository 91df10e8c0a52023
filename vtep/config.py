"""The agent's configuration file (TOML), checked: what cannot be does not come to exist.

name = "hv1"                    default: the host's name
control = "/run/vtep/hv1.sock"  default: none, and then vtep.ctl has nothing to talk to
[underlay]
interface = "eth0"              the NIC that carries the tunnels
local = "192.0.2.11"            its IPv4 address, the outer source of all packets
port = 4789                     UDP destination port (RFC 7348 section 5)
ttl = 64                        outer TTL, of multicast too
udp_checksum = false            compute the outer UDP checksum; zero otherwise
source_ports = [49152, 65535]   range of the outer source port
strict = false                  drop packets with reserved bits set
[fdb]
ageing_s = 300                  how long a row lives unrenewed
limit = 65536                   rows a VNI may learn
[[port]]
interface = "trunk0"            towards the VMs; each port has its own 4094 VLANs
[[segment]]
vni = 10
group = "239.1.1.10"            several segments may share one
vlan = 1                        left out: untagged frames of the port
port = "trunk0"                 may be left out where there is one port
inner_tags = "strip"            or "carry"
[[static]]
vni = 10
mac = "02:00:00:00:00:0c"
remote = "192.0.2.13"
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vtep.ethernet import is_learnable, mac_bytes, mac_text
from vtep.wire import FIRST_SOURCE_PORT, LAST_SOURCE_PORT, LAST_VNI, PORT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LAST_VLAN = 4094  # IEEE 802.1Q: 4095 is reserved


class ConfigError(Exception):
    """What the operator wrote cannot be; the message names key, value and what is allowed."""


def refuse(key: str, value: object, allowed: str) -> ConfigError:
    """A ConfigError in the one form all of them have."""
    return ConfigError(f"{key} = {value!r}: allowed is {allowed}")


def whole(key: str, value: object, low: int, high: int) -> int:
    """A checked whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise refuse(key, value, f"a whole number from {low} to {high}")
    return value


def vni(key: str, value: object) -> int:
    """A checked VNI."""
    return whole(key, value, 0, LAST_VNI)


def flag(key: str, value: object) -> bool:
    """A checked true or false."""
    if not isinstance(value, bool):
        raise refuse(key, value, "true or false")
    return value


def text(key: str, value: object) -> str:
    """A checked, non-empty text."""
    if not isinstance(value, str) or not value:
        raise refuse(key, value, "a text")
    return value


def address(key: str, value: object) -> str:
    """A checked IPv4 address of one host."""
    try:
        found = ipaddress.IPv4Address(text(key, value))
    except ValueError:
        raise refuse(key, value, "an IPv4 address") from None
    if found.is_multicast or found.is_unspecified or str(found) == "255.255.255.255":
        raise refuse(key, value, "the IPv4 address of one host")
    return str(found)


def group(key: str, value: object) -> str:
    """A checked IPv4 multicast group."""
    try:
        found = ipaddress.IPv4Address(text(key, value))
    except ValueError:
        raise refuse(key, value, "an IPv4 multicast group") from None
    if not found.is_multicast:
        raise refuse(key, value, "an IPv4 multicast group, 224.0.0.0 to 239.255.255.255")
    return str(found)


def mac(key: str, value: object) -> bytes:
    """A checked MAC of one station, as bytes."""
    try:
        found = mac_bytes(text(key, value))
    except ValueError:
        raise refuse(key, value, "a MAC such as 02:00:00:00:00:0a") from None
    if not is_learnable(found):
        raise refuse(key, value, "the MAC of one station, no group address")
    return found


@dataclass(frozen=True)
class UnderlayConfig:
    """The tunnel side."""

    interface: str
    local: str
    port: int = PORT
    ttl: int = 64
    udp_checksum: bool = False
    source_ports: tuple[int, int] = (FIRST_SOURCE_PORT, LAST_SOURCE_PORT)
    strict: bool = False


@dataclass(frozen=True)
class SegmentConfig:
    """One VNI."""

    vni: int
    group: str
    vlan: int | None
    port: str
    carry_tags: bool


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

    def __post_init__(self) -> None:
        """What only shows when all is known: double uses, unknown ports and VNIs."""
        if self.underlay.interface in self.ports:
            raise refuse("port.interface", self.underlay.interface, "any but underlay.interface")
        for row in self.segments:
            if row.port not in self.ports:
                raise refuse("segment.port", row.port, f"one of {', '.join(self.ports)}")
        vnis = {segment.vni for segment in self.segments}
        for static in self.static:
            if static.vni not in vnis:
                raise refuse("static.vni", static.vni, "a VNI that a [[segment]] has")
            if static.remote == self.underlay.local:
                raise refuse("static.remote", static.remote, "any but underlay.local")
        _once(f"port.interface = {port}" for port in self.ports)
        _once(f"segment.vni = {row.vni}" for row in self.segments)
        _once(f"segment.vlan = {row.vlan} of port {row.port}" for row in self.segments)
        _once(f"static.mac = {mac_text(row.mac)} of vni {row.vni}" for row in self.static)


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
    )
    table.end()
    return config


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
    config = UnderlayConfig(
        interface=text("underlay.interface", table.take("interface")),
        local=address("underlay.local", table.take("local")),
        port=whole("underlay.port", table.take("port", PORT), 1, 65535),
        ttl=whole("underlay.ttl", table.take("ttl", 64), 1, 255),
        udp_checksum=flag("underlay.udp_checksum", table.take("udp_checksum", False)),
        source_ports=_range(table.take("source_ports", [FIRST_SOURCE_PORT, LAST_SOURCE_PORT])),
        strict=flag("underlay.strict", table.take("strict", False)),
    )
    table.end()
    return config


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
        "ageing_s": whole("fdb.ageing_s", table.take("ageing_s", 300), 1, 1_000_000),
        "limit": whole("fdb.limit", table.take("limit", 65_536), 1, 10_000_000),
    }
    table.end()
    return values


def segment(row: Mapping[str, Any], ports: tuple[str, ...]) -> SegmentConfig:
    """One segment from a file, or from the operator at run time."""
    table = _Table("segment.", row)
    vlan = table.take("vlan", None)
    tags = table.take("inner_tags", "strip")
    if tags not in ("strip", "carry"):
        raise refuse("segment.inner_tags", tags, '"strip" or "carry"')
    default = (ports[0],) if len(ports) == 1 else ()
    config = SegmentConfig(
        vni=vni("segment.vni", table.take("vni")),
        group=group("segment.group", table.take("group")),
        vlan=None if vlan is None else whole("segment.vlan", vlan, 1, LAST_VLAN),
        port=text("segment.port", table.take("port", *default)),
        carry_tags=tags == "carry",
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
