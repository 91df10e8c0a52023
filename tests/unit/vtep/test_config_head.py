"""The docstring of vtep/config.py documents every key with its default."""

from __future__ import annotations

import re
import sys
from dataclasses import fields

import pytest

from vtep import config
from vtep.checks import ConfigError
from vtep.config import SegmentConfig, UnderlayConfig, parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NEEDED = '[underlay]\ninterface = "eth0"\nlocal = "192.0.2.11"\n[[port]]\ninterface = "trunk0"\n'
SEGMENT = '[[segment]]\nvni = 10\ngroup = "239.1.1.10"\n'
STATIC = '[[static]]\nvni = 10\nmac = "02:00:00:00:00:0c"\nremote = "192.0.2.13"\n'
WHOLE = NEEDED + SEGMENT + STATIC
LINE = re.compile(r"^(\[+\w+\]+|\w+ = (?:\[.*?\]|\S+))(?:  .*)?$", re.MULTILINE)
DEFAULT_ELSEWHERE = {"udp_checksum"}  # depends on the address family


def head() -> str:
    """The keys and values that the head names, as a file."""
    return "\n".join(LINE.findall(config.__doc__ or ""))


def known_keys(table: str) -> set[str]:
    """The keys of a table, as the error for an unknown key lists them."""
    text = (
        WHOLE.replace(f"{table}\n", f"{table}\nnonesuch = 1\n")
        if table
        else "nonesuch = 1\n" + WHOLE
    )
    if table == "[fdb]":
        text = "[fdb]\nnonesuch = 1\n" + WHOLE
    with pytest.raises(ConfigError) as refused:
        parse(text)
    return set(str(refused.value).partition("must be one of ")[2].split(", "))


@pytest.mark.parametrize(
    "table", ["", "[underlay]", "[fdb]", "[[port]]", "[[segment]]", "[[static]]"]
)
def test_the_docstring_has_every_key_and_no_other(table: str) -> None:
    documented = tomllib.loads(head())
    found = documented[table.strip("[]")] if table else documented
    row = found[0] if isinstance(found, list) else found
    assert set(row) == known_keys(table)


def test_the_docstring_is_a_valid_configuration() -> None:
    parse(head().replace('\nremotes = ["192.0.2.12"]', ""))


def test_the_values_in_the_docstring_are_the_defaults() -> None:
    documented, plain = tomllib.loads(head()), parse(WHOLE)
    underlay = {**vars(plain.underlay), "tos": plain.underlay.dscp}
    for field in fields(UnderlayConfig):
        key = "tos" if field.name == "dscp" else field.name
        value = underlay[key]
        assert documented["underlay"][key] == (
            list(value) if isinstance(value, tuple) else value
        ), key
    assert documented["fdb"] == {"ageing_s": plain.ageing_s, "limit": plain.limit}
    assert documented["datapath"] == plain.data_path
    (row,), (segment,) = documented["segment"], plain.segments
    assert (row["inner_tags"] == "carry", row["suppress_arp"]) == (False, segment.suppress_arp)
    assert {field.name for field in fields(SegmentConfig)} == set(row) - {"inner_tags"} | {
        "carry_tags"
    }
