"""Run-time changes in an agent's configuration file: read back by the agent's own parser."""

from __future__ import annotations

from typing import Any

import pytest

from vtep import config
from vxlab.lab import agent_file
from vxlab.topology import registry

MAC = "02:00:00:00:00:0c"
SEGMENT = {"vni": 77, "port": "hv1-trunk", "vlan": 7, "group": "239.1.1.77", "inner_tags": None}


@pytest.fixture(scope="module")
def text() -> str:
    """The file of a hypervisor of a real topology."""
    return registry.build("three_vteps", {}).hypervisors["hv1"].agent_config("/run/hv1.sock", True)


def segments(text: str) -> list[tuple[int, int | None, str | None]]:
    return [(s.vni, s.vlan, s.group) for s in config.parse(text).segments]


def static(text: str) -> list[tuple[int, str, str]]:
    return [(s.vni, s.mac.hex(":"), s.remote) for s in config.parse(text).static]


def test_an_added_segment_is_read_back(text: str) -> None:
    changed = agent_file.with_segment(text, SEGMENT)
    assert segments(changed) == [(10, 1, "239.1.1.10"), (77, 7, "239.1.1.77")]
    assert config.parse(changed).underlay == config.parse(text).underlay


def test_all_kinds_of_values_are_read_back(text: str) -> None:
    row: dict[str, Any] = {**SEGMENT, "inner_tags": "carry", "suppress_arp": True}
    del row["group"]
    row["remotes"] = ["192.0.2.12", "192.0.2.13"]
    added = config.parse(agent_file.with_segment(text, row)).segments[-1]
    assert (added.remotes, added.carry_tags) == (("192.0.2.12", "192.0.2.13"), True)
    assert added.suppress_arp


def test_a_removed_segment_takes_its_static_entries_with_it(text: str) -> None:
    changed = agent_file.with_segment(text, SEGMENT)
    for vni in (10, 77):
        changed = agent_file.with_static(changed, vni, MAC, "192.0.2.13", add=False)
    kept = agent_file.without_segment(changed, 77)
    assert segments(kept) == segments(text)
    assert static(kept) == [(10, MAC, "192.0.2.13")]


def test_a_static_entry_is_replaced_or_gets_one_more_remote(text: str) -> None:
    one = agent_file.with_static(text, 10, MAC, "192.0.2.13", add=False)
    other = agent_file.with_static(one, 10, MAC, "192.0.2.12", add=False)
    both = agent_file.with_static(one, 10, MAC, "192.0.2.12", add=True)
    assert static(other) == [(10, MAC, "192.0.2.12")]
    assert static(both) == [(10, MAC, "192.0.2.13"), (10, MAC, "192.0.2.12")]
    assert agent_file.without_static(both, 10, MAC) == text


def test_removing_a_missing_entry_changes_nothing(text: str) -> None:
    assert agent_file.without_segment(text, 99) == text
    assert agent_file.without_static(text, 10, MAC) == text
