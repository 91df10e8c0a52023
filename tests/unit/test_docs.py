"""README and docs match the code: examples work, and commands, options and links exist."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.interop.checks import CHECKS
from tests.lint.files import CHECKOUT
from tests.support.pages import COMMAND_LANGUAGES, Block, blocks, pages
from vtep import config, events
from vtep.drops import DropReason
from vxlab.cli.main import vxlab
from vxlab.conformance.catalogue import rows_of
from vxlab.topology import registry
from vxlab.topology.options import COMMON
from vxlab.topology.overlay import LEARNED_NEIGHBOURS
from vxlab.vteps.kinds import KINDS

README = (CHECKOUT / "README.md").read_text()
EVENTS = (CHECKOUT / "docs" / "reference" / "events.md").read_text()
COMMANDS = (CHECKOUT / "docs" / "reference" / "commands.md").read_text()
STANDALONE = CHECKOUT / "docs" / "guides" / "standalone-vtep.md"
PAGES = [CHECKOUT / page for page in pages()]
MAX_README_LINES = 120
SVG = "{http://www.w3.org/2000/svg}"


def page_name(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


def file_block(page: Path, name: str) -> Block:
    """The block of a page that is the text of a file."""
    (found,) = [b for b in blocks(page.relative_to(CHECKOUT)) if b.file == name]
    return found


def section(text: str, head: str) -> str:
    """The text under a second-level heading."""
    return text.split(f"\n## {head}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """The code words in the first cells of a section's tables."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([a-z_]+)`", cell)}


def test_readme_is_short() -> None:
    assert README.count("\n") <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_block_has_a_language_and_a_reason_if_it_is_not_run(page: Path) -> None:
    for block in blocks(page.relative_to(CHECKOUT)):
        assert block.language, f"{block.page}:{block.line}: a block without a language"
        if block.not_run is not None:
            assert len(block.not_run.split()) >= 3, f"{block.page}:{block.line}: no reason"


def test_the_topology_example_builds(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(file_block(CHECKOUT / "README.md", "mine.py").text)
    topo = registry.build(str(file), {"ageing.hv1": "10"})
    assert list(topo.hypervisors) == ["hv1", "hv2"]
    assert {name: vm.segment.vni for name, vm in topo.vms.items()} == {
        "web1": 100,
        "web2": 100,
        "db1": 200,
    }


def test_the_agents_configuration_parses() -> None:
    parsed = config.parse(file_block(STANDALONE, "host1.toml").text)
    assert (parsed.name, parsed.ports) == ("host1", ("port0",))
    assert f"vtep.ctl --socket {parsed.control} fdb" in STANDALONE.read_text()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`vxlab ([a-z]+)", page.read_text()))
    for block in blocks(page.relative_to(CHECKOUT)):
        if block.language in COMMAND_LANGUAGES:
            named |= set(re.findall(r"(?:^|^\$ |[;|(] )vxlab ([a-z]+)", block.text, re.MULTILINE))
    assert named <= set(vxlab.commands)


def test_commands_page_has_a_row_for_every_command_with_flags_that_exist() -> None:
    table = section(COMMANDS, "vxlab")
    rows = re.findall(r"^\|(.*?)\|", table, re.MULTILINE)
    usages = [usage for row in rows for usage in re.findall(r"`vxlab (.*?)`", row)]
    assert {usage.split()[0] for usage in usages} == set(vxlab.commands)
    for usage in usages:
        name = usage.split()[0]
        flags = {flag for p in vxlab.commands[name].params for flag in p.opts}
        named = re.findall(r"(?<![\w-])-{1,2}[a-z-]+", usage.replace(" -- CMD", ""))
        assert set(named) <= flags, usage


def test_commands_page_has_a_row_for_every_make_target() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(re.findall(r"^\| `make ([a-z-]+)`", section(COMMANDS, "make"), re.M)) == targets


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_options_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    known = {option.name for option in COMMON} | set(re.findall(r"Option\(\"([a-z_]+)\"", text))
    for name in registry.names():
        known |= {option.name for option in registry.load(name).options}
    assert set(re.findall(r"--set ([a-z_]+)", text)) <= known


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= known


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_targets_of_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_exactly_the_drop_reasons_are_documented() -> None:
    documented = first_cells(section(EVENTS, "Drop reasons"))
    assert documented == {reason.label for reason in DropReason}


def test_the_matrix_has_every_ordered_pair_over_both_families_and_all_checks_hold() -> None:
    page = (CHECKOUT / "docs" / "results" / "interop.md").read_text()
    pairs = set(itertools.product(KINDS, repeat=2))
    for title in ("Over IPv4", "Over IPv6"):
        rows = re.findall(r"^\| (\w+) \| (\w+) \| ([\w-]+) \| (.*) \|$", section(page, title), re.M)
        judged = [row for row in rows if row[0] in KINDS]
        assert {(asks, answers) for asks, answers, _, _ in judged} == pairs
        assert {cells for *_, cells in judged} == {" | ".join(["yes"] * len(CHECKS))}


def test_the_page_of_conformance_has_every_row_and_no_deviation_of_our_vtep() -> None:
    page = (CHECKOUT / "docs" / "results" / "conformance.md").read_text()
    cells = r"^\| (\S+) \| [^|]+ \| ([^|]+) \| ([^|]+) \| ([^|]+) \|"
    head, rule, *found = re.findall(cells, section(page, "Rows"), re.MULTILINE)
    assert (head[0], head[3], rule[0]) == ("row", "python", "---")
    documented = {id: (kind, statement) for id, kind, statement, _ in found}
    assert documented == {row.id: (row.kind, row.statement) for row in rows_of()}
    assert not [id for id, _, _, ours in found if ours.startswith("**deviates**")]
    assert re.findall(r"^## Deviations of (\w+)", page, re.MULTILINE) == list(KINDS)


def test_exactly_the_decisions_and_fields_are_documented() -> None:
    decisions = {
        value for name, value in vars(events).items() if name.isupper() and name == value.upper()
    }
    assert first_cells(section(EVENTS, "Decisions")) == decisions
    record = events.Event(0.0, events.JOINED, "vni_added").as_json("hv1", 0.0, initial=False)
    assert first_cells(section(EVENTS, "Fields")) == set(record)


def test_the_drawing_is_valid_and_has_a_text_for_screen_readers() -> None:
    root = ElementTree.parse(CHECKOUT / "docs" / "pictures" / "flood-and-learn.svg").getroot()
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and title.text
    assert desc is not None and desc.text
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    words = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for row in registry.build("three_vteps", {}).rows():
        place = row["ip"][0].partition("/")[0] if row["ip"] else row["name"]
        assert place in words, f"{row['name']} is not in the drawing"


def test_the_documented_limit_of_learned_neighbours_is_the_codes() -> None:
    limits = (CHECKOUT / "docs" / "reference" / "limits.md").read_text()
    assert f"Beyond {LEARNED_NEIGHBOURS} hypervisors" in limits
