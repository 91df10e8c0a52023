"""The import rules of the project, read from the syntax trees."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("vtep", "controller", "vxlab", "topologies")

# The folders and modules of vxlab: each may import only those before it in this table.
VXLAB_ORDER = (
    *("errors", "console", "waiting"),
    "control",  # control sockets
    "system",  # namespaces, Open vSwitch, the lab's directory
    "capture",
    "vteps",
    "nodes",  # Mininet's classes
    "topology",  # the description of a lab
    "lab",  # a running lab and its client side
    "testing",
    *("demo", "conformance"),
    "setup",
    "cli",
)
UNORDERED = ("__init__", "__main__")  # public names, loaded lazily; the entry point

# The only modules of vtep that vxlab may import: wire constants, and types of the configuration.
WORDS_FOR_TOPOLOGIES = ("vtep.constants", "vtep.config", "vtep.wire", "vtep.ethernet")

# Modules that decide: no I/O and no clock.
PURE = (
    *("vtep.constants", "vtep.wire", "vtep.ethernet", "vtep.drops", "vtep.effects", "vtep.options"),
    *("vtep.events", "vtep.ecn", "vtep.toobig", "vtep.arp_suppression", "vtep.tcp_merge"),
    *("vtep.udp_gso", "vtep.vnet_hdr", "vtep.batching", "vtep.reporting"),
    *("vtep.fdb", "vtep.segments", "vtep.core"),
    *("controller.constants", "controller.flows", "controller.membership", "controller.igmp"),
    *("controller.mld", "controller.protocols", "controller.links", "controller.switching"),
    *("controller.snooping", "controller.tables", "controller.underlay"),
    *("controller.reconciliation", "controller.pipeline", "controller.views"),
)
OUTSIDE_WORLD = ("socket", "select", "selectors", "time", "os", "subprocess", "threading", "fcntl")
ADDRESS_TEXT = {
    "inet_ntop",
    "inet_pton",
    "AF_INET",
    "AF_INET6",
}  # of socket, without I/O
DRIVERS = ("vtep.ports", "vtep.underlay", "vtep.fastpath")
FRAMEWORKS = ("ryu", "os_ken", "eventlet")


class Import(NamedTuple):
    """One module that another imports, and where."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer} (line {self.line}) imports {self.imported}"


def module_name(path: Path) -> str:
    """The dotted name of a file of the checkout."""
    parts = list(path.relative_to(CHECKOUT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    """Every module of the packages."""
    files = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")]
    return {module_name(path): path for path in sorted(files)}


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(), str(path))


def within(module: str, *packages: str) -> bool:
    """Whether a module is one of these, or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imports(module: str, path: Path) -> Iterator[Import]:
    """What a module imports, relative imports resolved, each name as a module where it is one."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *filter(None, [base])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(module, full if full in sources() else base, node.lineno)


@cache
def all_imports() -> tuple[Import, ...]:
    """Every import of the packages."""
    return tuple(each for module, path in sources().items() for each in imports(module, path))


def from_within(*packages: str) -> list[Import]:
    """The imports made by modules of these packages."""
    return [each for each in all_imports() if within(each.importer, *packages)]


def broken(found: list[Import]) -> str:
    """The message of a failed rule."""
    return "\n" + "\n".join(str(each) for each in found)


@pytest.mark.parametrize(
    ("package", "strangers"),
    [
        ("vtep", ("topologies", "vxlab", "controller")),
        ("controller", ("vtep", "vxlab", "topologies")),
    ],
)
def test_agent_and_controller_import_neither_each_other_nor_the_lab(
    package: str, strangers: tuple[str, ...]
) -> None:
    wrong = [each for each in from_within(package) if within(each.imported, *strangers)]
    assert not wrong, broken(wrong)


def test_the_lab_imports_only_constants_and_types_of_the_agent() -> None:
    wrong = [
        each
        for each in from_within("vxlab", "topologies")
        if within(each.imported, "controller")
        or (within(each.imported, "vtep") and not within(each.imported, *WORDS_FOR_TOPOLOGIES))
    ]
    assert not wrong, broken(wrong)


def test_modules_that_decide_do_no_input_or_output() -> None:
    wrong = [
        each
        for each in from_within(*PURE)
        if within(each.imported, *OUTSIDE_WORLD)
        and not (each.imported == "socket" and socket_names(each.importer) <= ADDRESS_TEXT)
    ]
    assert not wrong, broken(wrong)


def socket_names(module: str) -> set[str]:
    """The names of socket.NAME that a module uses."""
    return {
        node.attr
        for node in ast.walk(tree(sources()[module]))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "socket"
    }


def test_core_and_drivers_do_not_import_each_other() -> None:
    wrong = [each for each in from_within(*DRIVERS) if within(each.imported, "vtep.core")]
    wrong += [each for each in from_within(*PURE) if within(each.imported, *DRIVERS)]
    assert not wrong, broken(wrong)


def test_one_module_imports_the_controller_framework() -> None:
    touching = [each for each in all_imports() if within(each.imported, *FRAMEWORKS)]
    wrong = [each for each in touching if each.importer != "controller.app"]
    assert not wrong, broken(wrong)


def test_nothing_imports_tests() -> None:
    wrong = [each for each in all_imports() if within(each.imported, "tests")]
    assert not wrong, broken(wrong)


def test_no_star_imports() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for path in sources().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not wrong


def test_an_import_inside_a_function_has_a_reason() -> None:
    wrong = [place for path in sources().values() for place in unexplained_lazy_imports(path)]
    assert not wrong, "a comment `# lazy: reason` on the line or above it is missing"


def unexplained_lazy_imports(path: Path) -> Iterator[str]:
    """Imports inside functions without `# lazy:` on their line or in the comment right above."""
    lines = path.read_text().split("\n")
    functions = (
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    for node in {inner for function in functions for inner in ast.walk(function)}:
        if isinstance(node, ast.Import | ast.ImportFrom) and "# lazy:" not in explanation(
            lines, node
        ):
            yield f"{path.relative_to(CHECKOUT)}:{node.lineno}"


def explanation(lines: list[str], node: ast.Import | ast.ImportFrom) -> str:
    """The import's own lines and those before it in the same run of comments and imports."""
    start = node.lineno - 1
    while start > 0 and lines[start - 1].strip().startswith(("#", "import ", "from ")):
        start -= 1
    return "\n".join(lines[start : node.end_lineno])


def test_no_cycles_between_modules() -> None:
    edges: dict[str, set[str]] = {module: set() for module in sources()}
    for each in all_imports():
        if each.imported in edges and each.imported != each.importer:
            edges[each.importer].add(each.imported)
    assert not cycles(edges), f"these import each other: {sorted(cycles(edges))}"


def cycles(edges: dict[str, set[str]]) -> set[str]:
    """The nodes of a graph that are on a cycle, or on a path between two cycles."""
    left = set(edges)
    while True:
        imported = {target for node in left for target in edges[node]}
        inner = {node for node in left & imported if edges[node] & left}
        if inner == left:
            return left
        left = inner


def folders() -> list[str]:
    """Every package of the tree, with those inside others."""
    return sorted(module for module, path in sources().items() if path.name == "__init__.py")


def member(folder: str, module: str) -> str:
    """The direct member of a folder that a module is, or is in: `vxlab.lab.x` of vxlab -> lab."""
    return module.removeprefix(folder).removeprefix(".").partition(".")[0] or "__init__"


def imports_between_members(folder: str) -> list[tuple[str, str, Import]]:
    """The imports between members of a folder: (importer, imported, import)."""
    inside = [each for each in from_within(folder) if within(each.imported, folder)]
    pairs = [
        (member(folder, each.importer), member(folder, each.imported), each) for each in inside
    ]
    return [pair for pair in pairs if pair[0] != pair[1] and pair[0] not in UNORDERED]


@pytest.mark.parametrize("folder", folders())
def test_no_cycles_between_the_members_of_a_folder(folder: str) -> None:
    edges: dict[str, set[str]] = {}
    for importer, imported, _ in imports_between_members(folder):
        edges.setdefault(importer, set()).add(imported)
    ring = cycles(edges)
    wrong = [
        each
        for importer, imported, each in imports_between_members(folder)
        if importer in ring and imported in ring
    ]
    assert not wrong, broken(wrong)


def test_the_folders_of_vxlab_are_layers() -> None:
    place = {name: number for number, name in enumerate(VXLAB_ORDER)}
    members = {member("vxlab", module) for module in sources() if within(module, "vxlab")}
    assert members - set(UNORDERED) <= place.keys(), "a folder is missing in VXLAB_ORDER"
    wrong = [
        each
        for importer, imported, each in imports_between_members("vxlab")
        if imported not in UNORDERED and place[imported] > place[importer]
    ]
    assert not wrong, broken(wrong)


def test_conformance_does_not_load_mininet() -> None:
    reached = loaded_by("vxlab.conformance")
    assert "vxlab.capture.packets" in reached, "the walk does not follow imports"
    wrong = [
        each
        for each in all_imports()
        if each.importer in reached and within(each.imported, "mininet") and not types_only(each)
    ]
    assert not wrong, broken(wrong)


def loaded_by(package: str) -> set[str]:
    """All modules that a package's modules import, directly or not, lazily or not."""
    reached = {module for module in sources() if within(module, package)}
    while True:
        found = {
            parent
            for each in all_imports()
            if each.importer in reached and each.imported in sources() and not types_only(each)
            for parent in with_parents(each.imported)
        }
        if found <= reached:
            return reached
        reached |= found


def with_parents(module: str) -> Iterator[str]:
    """A module and the packages that Python loads before it."""
    parts = module.split(".")
    return (".".join(parts[: length + 1]) for length in range(len(parts)))


def types_only(each: Import) -> bool:
    """Whether an import is inside `if TYPE_CHECKING`, and so never carried out."""
    return any(
        node.lineno <= each.line <= (node.end_lineno or 0)
        for node in ast.walk(tree(sources()[each.importer]))
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def test_the_walk_finds_the_packages() -> None:
    """An empty walk would let every other test here pass."""
    assert {module.partition(".")[0] for module in sources()} >= set(PACKAGES)
    assert len(all_imports()) > 100
    assert sys.version_info >= (3, 10)
