"""What README and docs say is so: their examples work, their commands, words and links exist."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.interop.checks import CHECKS
from tests.lint.files import CHECKOUT
from vtep import config, events
from vtep.drops import DropReason
from vxlab.cli.main import vxlab
from vxlab.conformance.catalogue import rows_of
from vxlab.topology import registry
from vxlab.topology.options import COMMON
from vxlab.topology.overlay import LEARNED_NEIGHBOURS
from vxlab.vteps.kinds import KINDS

README = (CHECKOUT / "README.md").read_text()
EVENTS = (CHECKOUT / "docs" / "events.md").read_text()
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CHANGELOG.md",
    *sorted((CHECKOUT / "docs").glob("*.md")),
]
SVG = "{http://www.w3.org/2000/svg}"


def page_name(page: Path) -> str:
    return page.name


def examples(language: str) -> list[str]:
    """README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(text: str, head: str) -> str:
    """What stands under a second-level head."""
    return text.split(f"\n## {head}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """The code words in the first cells of a section's tables."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([a-z_]+)`", cell)}


def test_python_examples_compile() -> None:
    topology, test = examples("python")
    compile(topology, "mine.py", "exec")
    names: dict[str, object] = {}
    exec(compile(test, "test_mine.py", "exec"), names)
    assert any(name.startswith("test_") for name in names)


def test_the_topology_example_builds(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(examples("python")[0])
    topo = registry.build(str(file), {"ageing.hv1": "10"})
    assert list(topo.hypervisors) == ["hv1", "hv2"]
    assert {name: vm.segment.vni for name, vm in topo.vms.items()} == {
        "web1": 100,
        "web2": 100,
        "db1": 200,
    }


def test_the_test_example_speaks_of_the_topology_example(tmp_path: Path) -> None:
    topology, test = examples("python")
    file = tmp_path / "mine.py"
    file.write_text(topology)
    rows = {row["name"]: row for row in registry.build(str(file), {}).rows()}
    assert rows["web2"]["ip"] == ["10.1.0.2/24"]
    assert f'"{rows["web2"]["mac"]}", "{rows["hv2"]["underlay"]}"' in test
    assert rows["db1"]["ip"] == ["10.1.0.3/24"]


def test_the_agents_configuration_parses() -> None:
    (example,) = examples("toml")
    parsed = config.parse(example)
    assert (parsed.name, parsed.ports) == ("host1", ("port0",))
    assert f"vtep.ctl --socket {parsed.control} fdb" in README


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"(?<![\w./-])vxlab ([a-z]+)", page.read_text()))
    assert named <= set(vxlab.commands)


def test_readme_has_a_row_for_every_command_with_flags_that_exist() -> None:
    rows = re.findall(r"^\| `vxlab (\w+)(.*?)` \|", section(README, "Commands"), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(vxlab.commands)
    for name, usage in rows:
        flags = {flag for p in vxlab.commands[name].params for flag in p.opts}
        usage = usage.replace(" -- CMD", "")
        assert set(re.findall(r"-{1,2}[a-z-]+", usage)) <= flags, name


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_options_that_are_named_exist(page: Path) -> None:
    known = {option.name for option in COMMON}
    assert set(re.findall(r"--set ([a-z_]+)", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= known


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_every_drop_reason_is_told_and_no_other() -> None:
    told = first_cells(section(EVENTS, "Drop reasons"))
    assert told == {reason.label for reason in DropReason}


def test_the_matrix_has_every_ordered_pair_over_both_families_and_all_is_well() -> None:
    page = (CHECKOUT / "docs" / "interop.md").read_text()
    pairs = set(itertools.product(KINDS, repeat=2))
    for title in ("Over IPv4", "Over IPv6"):
        rows = re.findall(r"^\| (\w+) \| (\w+) \| ([\w-]+) \| (.*) \|$", section(page, title), re.M)
        judged = [row for row in rows if row[0] in KINDS]
        assert {(asks, answers) for asks, answers, _, _ in judged} == pairs
        assert {cells for *_, cells in judged} == {" | ".join(["yes"] * len(CHECKS))}


def test_the_page_of_conformance_has_every_row_and_ours_deviates_nowhere() -> None:
    page = (CHECKOUT / "docs" / "conformance.md").read_text()
    cells = r"^\| (\S+) \| [^|]+ \| ([^|]+) \| ([^|]+) \| ([^|]+) \|"
    head, rule, *found = re.findall(cells, section(page, "Rows"), re.MULTILINE)
    assert (head[0], head[3], rule[0]) == ("row", "python", "---")
    told = {id: (kind, statement) for id, kind, statement, _ in found}
    assert told == {row.id: (row.kind, row.statement) for row in rows_of()}
    assert not [id for id, _, _, ours in found if ours.startswith("**deviates**")]
    assert re.findall(r"^## Deviations of (\w+)", page, re.MULTILINE) == list(KINDS)


def test_every_decision_and_field_is_told_and_no_other() -> None:
    decisions = {
        value for name, value in vars(events).items() if name.isupper() and name == value.upper()
    }
    assert first_cells(section(EVENTS, "Decisions")) == decisions
    record = events.Event(0.0, events.JOINED, "vni_added").as_json("hv1", 0.0, initial=False)
    assert first_cells(section(EVENTS, "Fields")) == set(record)


def test_the_drawing_is_sound_and_speaks_to_those_who_cannot_see_it() -> None:
    root = ElementTree.parse(CHECKOUT / "docs" / "scene.svg").getroot()
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and title.text
    assert desc is not None and desc.text
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    words = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for row in registry.build("three_vteps", {}).rows():
        place = row["ip"][0].partition("/")[0] if row["ip"] else row["name"]
        assert place in words, f"{row['name']} is not in the drawing"


def test_the_number_of_hypervisors_that_learn_their_neighbours_is_the_codes() -> None:
    assert f"Beyond {LEARNED_NEIGHBOURS} hypervisors" in README
