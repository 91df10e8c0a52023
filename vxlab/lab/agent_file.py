"""Changes to an agent's configuration file, so that a run-time change survives its restart.

Works on the files that `Hypervisor.agent_config` writes: one `key = value` on each line. Pure
functions from text to text; tables that are not concerned stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Table = list[str]  # the lines of one table, its [[head]] first


def with_segment(text: str, segment: Mapping[str, Any]) -> str:
    """Add a [[segment]]; keys with the value None are left out."""
    return text + _table("segment", segment)


def without_segment(text: str, vni: int) -> str:
    """Remove the [[segment]] of a VNI, and its [[static]] entries."""
    lost = f"vni = {vni}"
    return _joined(
        table
        for table in _tables(text)
        if not (table[0] in ("[[segment]]", "[[static]]") and lost in table)
    )


def with_static(text: str, vni: int, mac: str, remote: str, add: bool) -> str:
    """Add a [[static]] entry; it replaces others of the MAC unless `add` asks for one more."""
    kept = text if add else without_static(text, vni, mac)
    return kept + _table("static", {"vni": vni, "mac": mac, "remote": remote})


def without_static(text: str, vni: int, mac: str) -> str:
    """Remove all [[static]] entries of a MAC in a VNI."""
    lost = {f"vni = {vni}", f"mac = {json.dumps(mac)}"}
    return _joined(
        table for table in _tables(text) if not (table[0] == "[[static]]" and lost <= set(table))
    )


def _table(head: str, values: Mapping[str, Any]) -> str:
    # JSON and TOML write whole numbers, booleans, strings and lists of strings alike.
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join([f"[[{head}]]", *lines]) + "\n"


def _tables(text: str) -> Iterator[Table]:
    """The text cut before each line that begins a table; the first piece has no head."""
    table: Table = []
    for line in text.splitlines():
        if line.startswith("[") and table:
            yield table
            table = []
        table.append(line)
    if table:
        yield table


def _joined(tables: Iterator[Table]) -> str:
    return "".join(f"{line}\n" for table in tables for line in table)
