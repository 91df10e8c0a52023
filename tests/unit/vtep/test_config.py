"""The configuration file: parsed values, and the errors for invalid ones."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vtep.checks import ConfigError
from vtep.config import Config, SegmentConfig, StaticConfig, UnderlayConfig, parse
from vtep.launch import launch

UNDERLAY = '[underlay]\ninterface = "eth0"\nlocal = "192.0.2.11"\n'
PORT = '[[port]]\ninterface = "trunk0"\n'
SEGMENT = '[[segment]]\nvni = 10\ngroup = "239.1.1.10"\n'
STATIC = '[[static]]\nvni = 10\nmac = "02:00:00:00:00:0c"\nremote = "192.0.2.13"\n'
SHORTEST = UNDERLAY + PORT


def test_the_shortest_file_and_its_defaults() -> None:
    assert parse(SHORTEST) == Config(
        name=socket.gethostname(),
        control=None,
        underlay=UnderlayConfig(
            interface="eth0",
            local="192.0.2.11",
            port=4789,
            ttl=64,
            udp_checksum=False,
            source_ports=(49152, 65535),
            strict=False,
        ),
        ageing_s=300,
        limit=65536,
        ports=("trunk0",),
        segments=(),
        static=(),
    )


def test_over_ipv6_udp_checksums_are_on_by_default() -> None:
    six = UNDERLAY.replace("192.0.2.11", "2001:db8::11")
    assert parse(six + PORT).underlay.udp_checksum
    assert not parse(six + "udp_checksum = false\n" + PORT).underlay.udp_checksum


def test_a_file_with_everything() -> None:
    config = parse("""
        name = "hv1"
        control = "/run/hv1.sock"
        [underlay]
        interface = "eth0"
        local = "192.0.2.11"
        port = 8472
        ttl = 8
        udp_checksum = true
        source_ports = [50000, 50001]
        strict = true
        [fdb]
        ageing_s = 1
        limit = 5
        [[port]]
        interface = "trunk0"
        [[port]]
        interface = "trunk1"
        [[segment]]
        vni = 0
        group = "239.1.1.10"
        vlan = 4094
        port = "trunk1"
        inner_tags = "carry"
        [[segment]]
        vni = 16777215
        group = "239.1.1.10"
        port = "trunk0"
        [[static]]
        vni = 0
        mac = "02:00:00:00:00:0C"
        remote = "192.0.2.13"
    """)
    assert config == Config(
        name="hv1",
        control="/run/hv1.sock",
        underlay=UnderlayConfig(
            "eth0",
            "192.0.2.11",
            8472,
            ttl=8,
            udp_checksum=True,
            source_ports=(50000, 50001),
            strict=True,
        ),
        ageing_s=1,
        limit=5,
        ports=("trunk0", "trunk1"),
        segments=(
            SegmentConfig(0, "239.1.1.10", (), 4094, "trunk1", True, False),
            SegmentConfig(16777215, "239.1.1.10", (), None, "trunk0", False, False),
        ),
        static=(StaticConfig(0, b"\x02\0\0\0\0\x0c", "192.0.2.13"),),
    )


def test_the_only_port_need_not_be_named() -> None:
    assert parse(SHORTEST + SEGMENT).segments[0].port == "trunk0"


A_PORT = "a whole number from 1 to 65535"
A_RANGE = "[first, last] with 1 <= first <= last <= 65535"
A_TTL = '"inherit", or a whole number from 1 to 255'
A_CLASS = '"inherit", or a multiple of 4 from 0 to 252'
ONE_HOST = "the IP address of one host"
A_GROUP = "a multicast group: 224.0.0.0 to 239.255.255.255, or ff00::/8"
FAMILY = "of the same address family as underlay.local"


def underlay(line: str) -> str:
    return UNDERLAY + line + "\n" + PORT


def segment(*lines: str) -> str:
    given = {line.partition(" ")[0]: line for line in SEGMENT.splitlines()[1:]}
    given.update({line.partition(" ")[0]: line for line in lines})
    return SHORTEST + "[[segment]]\n" + "\n".join(given.values())


def static(line: str) -> str:
    given = {each.partition(" ")[0]: each for each in STATIC.splitlines()[1:]}
    given[line.partition(" ")[0]] = line
    return SHORTEST + SEGMENT + "[[static]]\n" + "\n".join(given.values())


REFUSED = {
    "underlay.interface: missing": PORT,
    "underlay.local: missing": '[underlay]\ninterface = "eth0"\n' + PORT,
    "port: missing; at least one [[port]] is required": UNDERLAY,
    "port.interface: missing": UNDERLAY + "[[port]]\n",
    "port.name: unknown; must be one of interface": SHORTEST + 'name = "x"',
    "undrelay: unknown; must be one of port, control, name, underlay, fdb, segment, static, "
    "datapath": (SHORTEST + "[undrelay]\n"),
    "underlay.tll: unknown; must be one of interface, local, port, ttl, tos, df, "
    "icmp_too_big, trusted, udp_checksum, source_ports, strict, offload": underlay("tll = 3"),
    "underlay = 3: must be a table [underlay]": "underlay = 3\n" + PORT,
    "port = 'trunk0': must be tables [[port]]": "port = 'trunk0'\n" + UNDERLAY,
    "segment = [5]: must be tables [[segment]]": "segment = [5]\n" + SHORTEST,
    "name = '': must be a non-empty string": "name = ''\n" + SHORTEST,
    "name = 3: must be a non-empty string": "name = 3\n" + SHORTEST,
    "control = True: must be a non-empty string": "control = true\n" + SHORTEST,
    f"underlay.local = '239.1.1.1': must be {ONE_HOST}": (
        '[underlay]\ninterface = "eth0"\nlocal = "239.1.1.1"\n' + PORT
    ),
    f"underlay.local = '255.255.255.255': must be {ONE_HOST}": (
        '[underlay]\ninterface = "eth0"\nlocal = "255.255.255.255"\n' + PORT
    ),
    "underlay.local = 'hv1': must be an IP address": (
        '[underlay]\ninterface = "eth0"\nlocal = "hv1"\n' + PORT
    ),
    f"underlay.port = 0: must be {A_PORT}": underlay("port = 0"),
    f"underlay.port = 65536: must be {A_PORT}": underlay("port = 65536"),
    f"underlay.port = True: must be {A_PORT}": underlay("port = true"),
    f"underlay.port = '4789': must be {A_PORT}": underlay('port = "4789"'),
    f"underlay.port = 4789.0: must be {A_PORT}": underlay("port = 4789.0"),
    f"underlay.ttl = 256: must be {A_TTL}": underlay("ttl = 256"),
    f"underlay.ttl = True: must be {A_TTL}": underlay("ttl = true"),
    f"underlay.tos = 3: must be {A_CLASS}": underlay("tos = 3"),
    f"underlay.tos = 256: must be {A_CLASS}": underlay("tos = 256"),
    "underlay.df = 'yes': must be true or false": underlay("df = 'yes'"),
    "underlay.icmp_too_big = 1: must be true or false": underlay("icmp_too_big = 1"),
    "segment.suppress_arp = 'on': must be true or false": segment("suppress_arp = 'on'"),
    f"underlay.trusted = '2001:db8::12': must be {FAMILY}": (
        underlay('trusted = ["2001:db8::12"]')
    ),
    f"static.remote = '2001:db8::12': must be {FAMILY}": static('remote = "2001:db8::12"'),
    """datapath = 'fast': must be "auto" or "ebpf" or "python\"""": (
        'datapath = "fast"\n' + SHORTEST
    ),
    "underlay.strict = 1: must be true or false": underlay("strict = 1"),
    "underlay.udp_checksum = 'no': must be true or false": underlay("udp_checksum = 'no'"),
    f"underlay.source_ports = 5: must be {A_RANGE}": underlay("source_ports = 5"),
    f"underlay.source_ports = [5]: must be {A_RANGE}": underlay("source_ports = [5]"),
    f"underlay.source_ports = [9, 8]: must be {A_RANGE}": underlay("source_ports = [9, 8]"),
    f"underlay.source_ports = 0: must be {A_PORT}": underlay("source_ports = [0, 8]"),
    "fdb.ageing_s = 0: must be a whole number from 1 to 1000000": (
        SHORTEST + "[fdb]\nageing_s = 0"
    ),
    "fdb.limit = -1: must be a whole number from 1 to 10000000": SHORTEST + "[fdb]\nlimit = -1",
    "segment.vni: missing": SHORTEST + '[[segment]]\ngroup = "239.1.1.10"',
    "segment: must have either a group or a list of remotes": SHORTEST + "[[segment]]\nvni = 10",
    "segment.remotes = ['192.0.2.12', '192.0.2.12']: must be a list without duplicates": (
        SHORTEST + "[[segment]]\nvni = 10\nremotes = ['192.0.2.12', '192.0.2.12']"
    ),
    f"segment = '2001:db8::12': must be {FAMILY}": (
        SHORTEST + "[[segment]]\nvni = 10\nremotes = ['2001:db8::12']"
    ),
    f"underlay.tos = 'low': must be {A_CLASS}": underlay('tos = "low"'),
    "underlay.trusted = '192.0.2.12': must be a list of IP addresses": (
        underlay('trusted = "192.0.2.12"')
    ),
    "segment.vni = 16777216: must be a whole number from 0 to 16777215": (
        segment("vni = 16777216")
    ),
    "segment.vni = -1: must be a whole number from 0 to 16777215": segment("vni = -1"),
    f"segment.group = '192.0.2.1': must be {A_GROUP}": segment('group = "192.0.2.1"'),
    f"segment = 'ff05::1': must be {FAMILY}": segment('group = "ff05::1"'),
    "segment.vlan = 0: must be a whole number from 1 to 4094": segment("vlan = 0"),
    "segment.vlan = 4095: must be a whole number from 1 to 4094": segment("vlan = 4095"),
    "segment.port = 'trunk9': must be one of trunk0": segment('port = "trunk9"'),
    """segment.inner_tags = 'keep': must be "strip" or "carry\"""": (
        segment('inner_tags = "keep"')
    ),
    "segment.tag: unknown; must be one of vni, vlan, inner_tags, group, remotes, port, "
    "suppress_arp": segment("tag = 5"),
    "segment.port: missing": SHORTEST + '[[port]]\ninterface = "trunk1"\n' + SEGMENT,
    "segment.vni = 10: given twice; must be unique": (
        SHORTEST + SEGMENT + "vlan = 1\n" + SEGMENT + "vlan = 2\n"
    ),
    "segment.vlan = 1 of port trunk0: given twice; must be unique": (
        SHORTEST + SEGMENT + "vlan = 1\n" + SEGMENT.replace("vni = 10", "vni = 11") + "vlan = 1\n"
    ),
    "port.interface = trunk0: given twice; must be unique": SHORTEST + PORT,
    "port.interface = 'eth0': must be another interface than underlay.interface": (
        UNDERLAY + '[[port]]\ninterface = "eth0"\n'
    ),
    "static.mac: missing": SHORTEST + SEGMENT + '[[static]]\nvni = 10\nremote = "192.0.2.13"\n',
    "static.mac = '2:c': must be a MAC such as 02:00:00:00:00:0a": static('mac = "2:c"'),
    "static.mac = '01:00:5e:00:00:01': must be the MAC of one station, not a group address": (
        static('mac = "01:00:5e:00:00:01"')
    ),
    f"static.remote = '239.1.1.1': must be {ONE_HOST}": static('remote = "239.1.1.1"'),
    "static.remote = '192.0.2.11': must be another address than underlay.local": (
        static('remote = "192.0.2.11"')
    ),
    "static.vni = 11: must be a VNI that a [[segment]] has": static("vni = 11"),
    "static.mac = 02:00:00:00:00:0c of vni 10 with remote 192.0.2.13: given twice; "
    "must be unique": (SHORTEST + SEGMENT + STATIC + STATIC),
}


@pytest.mark.parametrize("text", REFUSED)
def test_an_error_names_the_value_and_what_it_must_be(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(REFUSED[text])
    assert str(refused.value) == text


def test_the_same_mac_may_be_static_in_two_vnis_and_a_vlan_on_two_ports() -> None:
    other = SEGMENT.replace("vni = 10", "vni = 11")
    second_port = '[[port]]\ninterface = "trunk1"\n'
    config = parse(
        SHORTEST + second_port
        + SEGMENT + 'vlan = 1\nport = "trunk0"\n' + other + 'vlan = 1\nport = "trunk1"\n'
        + STATIC + STATIC.replace("vni = 10", "vni = 11")
    )  # fmt: skip
    assert len(config.segments) == len(config.static) == 2


def test_invalid_toml_is_reported_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^invalid TOML: .*line 2"):
        parse('name = "hv1"\n[underlay\n')


def test_five_thousand_segments_are_parsed() -> None:
    many = "".join(
        f'[[segment]]\nvni = {vni}\nvlan = {vni % 4094 + 1}\ngroup = "239.1.{vni % 250}.1"\n'
        f'port = "trunk{vni // 4094}"\n'
        for vni in range(5000)
    )
    config = parse(SHORTEST + '[[port]]\ninterface = "trunk1"\n' + many)
    assert [each.vni for each in config.segments] == list(range(5000))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "invalid TOML: byte 0 is not UTF-8"),
        (b"name = 3\n[[port]]\ninterface='p'", "name = 3: must be a non-empty string"),
        (None, "No such file or directory"),
    ],
)
def test_an_invalid_file_is_reported_in_one_line_with_status_2(
    content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hv1.toml"
    if content is not None:
        path.write_bytes(content)
    assert launch(str(path)) == 2
    assert capsys.readouterr().err == f"vtep: error: {path}: {words}\n"


def test_a_missing_interface_is_reported_in_one_line_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hv1.toml"
    path.write_text(SHORTEST.replace("eth0", "no-such-nic"))
    assert launch(str(path)) == 1
    assert capsys.readouterr().err == ("vtep: error: underlay no-such-nic: no such interface\n")
