"""topologies/: the index agrees with the files, and the drawings agree with the topologies."""

from __future__ import annotations

import ast
import re
import shlex

import pytest

from vxlab.cli.manage import parse_settings
from vxlab.topology import registry

INDEX = (registry.FOLDER / "README.md").read_text()
NAMES = registry.names()
# The drawings of the others show the first of many nodes.
FULLY_DRAWN = ("three_vteps", "two_hosts", "two_tenants")


def head(name: str) -> tuple[str, str]:
    """The first line of a file's docstring, and the drawing below it."""
    tree = ast.parse((registry.FOLDER / f"{name}.py").read_text())
    text = ast.get_docstring(tree, clean=False)
    assert text, f"{name}.py begins without a docstring"
    summary, _, drawing = text.partition("\n")
    return summary, drawing.strip("\n")


def section(name: str) -> str:
    """What the index says about a topology."""
    return INDEX.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_index_has_a_row_and_a_section_for_every_file_and_no_other() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (.+) \|$", INDEX, re.MULTILINE)
    assert sorted(rows) == [(name, name, head(name)[0].rstrip(".")) for name in NAMES]
    assert set(re.findall(r"^## (\w+)$", INDEX, re.MULTILINE)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_index_shows_summary_and_drawing_of_the_file(name: str) -> None:
    summary, drawing = head(name)
    assert section(name).startswith(f"\n{summary}\n\n```text\n{drawing}\n```\n")
    assert registry.describe(name).summary == summary
    assert max(map(len, drawing.split("\n"))) <= 100


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_the_index_are_valid(name: str) -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section(name), re.MULTILINE | re.DOTALL)
    program, command, topology, *options = shlex.split(block)
    assert (program, topology) == ("vxlab", name)
    assert command in ("demo", "up")
    assert options[::2] == ["--set"] * (len(options) // 2)
    registry.build(topology, parse_settings(tuple(options[1::2])))


@pytest.mark.parametrize("name", FULLY_DRAWN)
def test_a_drawing_shows_every_node_and_address(name: str) -> None:
    _, drawing = head(name)
    topo = registry.build(name, {})
    words = {word.rstrip(".") for word in re.findall(r"[\w.]+", drawing)}
    assert {*topo.hypervisors, *topo.underlay_switches, *topo.vms} <= words
    assert {bridge for h in topo.hypervisors.values() for bridge in h.bridges} <= words
    assert {h.underlay for h in topo.hypervisors.values()} <= words
    assert {s.group for s in topo.segments.values()} <= words
    assert {str(vni) for vni in topo.segments} <= words
    addresses = {vm.ip.partition("/")[0] for vm in topo.vms.values()}
    drawn = {f"10.0.0.{n}" for n in range(1, 3)} if "10.0.0.1-2" in drawing else set()
    drawn |= {word for word in words if re.fullmatch(r"\d+(\.\d+){3}", word)}
    assert addresses <= drawn
