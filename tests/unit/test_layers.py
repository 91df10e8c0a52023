"""The house's import rules, read from the syntax trees."""

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

# The only modules of vtep that topologies may know: the configuration's types, the wire's words.
WORDS_FOR_TOPOLOGIES = ("vtep.constants", "vtep.config", "vtep.wire", "vtep.ethernet")

# Modules that decide: no I/O, no clock, and what they must not know of their own house.
PURE = (
    *("vtep.constants", "vtep.wire", "vtep.ethernet", "vtep.drops", "vtep.effects", "vtep.options"),
    *("vtep.fdb", "vtep.segments", "vtep.core"),
    *("controller.constants", "controller.flows", "controller.membership", "controller.igmp"),
    *("controller.mld", "controller.protocols", "controller.links", "controller.switching"),
    *("controller.snooping", "controller.tables", "controller.underlay"),
    *("controller.reconciliation", "controller.pipeline", "controller.views"),
)
OUTSIDE_WORLD = ("socket", "select", "selectors", "time", "os", "subprocess", "threading", "fcntl")
ADDRESS_TEXT = {"inet_ntop", "inet_pton", "AF_INET", "AF_INET6"}  # of socket, and yet no I/O
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
    """Every module of the three packages."""
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
    """Every import of the three packages."""
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
def test_the_two_programs_know_neither_each_other_nor_the_lab(
    package: str, strangers: tuple[str, ...]
) -> None:
    wrong = [each for each in from_within(package) if within(each.imported, *strangers)]
    assert not wrong, broken(wrong)


def test_topologies_know_only_the_words_of_a_vtep_and_nothing_of_the_controller() -> None:
    wrong = [
        each
        for each in from_within("vxlab", "topologies")
        if within(each.imported, "controller")
        or (within(each.imported, "vtep") and not within(each.imported, *WORDS_FOR_TOPOLOGIES))
    ]
    assert not wrong, broken(wrong)


def test_what_decides_touches_no_outside_world() -> None:
    wrong = [
        each
        for each in from_within(*PURE)
        if within(each.imported, *OUTSIDE_WORLD)
        and not (each.imported == "socket" and socket_words(each.importer) <= ADDRESS_TEXT)
    ]
    assert not wrong, broken(wrong)


def socket_words(module: str) -> set[str]:
    """The names of socket.NAME that a module uses."""
    return {
        node.attr
        for node in ast.walk(tree(sources()[module]))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "socket"
    }


def test_core_and_drivers_never_meet() -> None:
    wrong = [each for each in from_within(*DRIVERS) if within(each.imported, "vtep.core")]
    wrong += [each for each in from_within(*PURE) if within(each.imported, *DRIVERS)]
    assert not wrong, broken(wrong)


def test_one_file_touches_the_controller_framework() -> None:
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


def test_an_import_inside_a_function_says_why() -> None:
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


def test_no_cycles() -> None:
    edges: dict[str, set[str]] = {module: set() for module in sources()}
    for each in all_imports():
        if each.imported in edges and each.imported != each.importer:
            edges[each.importer].add(each.imported)
    while leaves := [module for module, known in edges.items() if not known & edges.keys()]:
        for leaf in leaves:
            del edges[leaf]
    assert not edges, f"import each other in a ring, or hang on one: {sorted(edges)}"


def test_the_walk_sees_the_three_packages() -> None:
    """An empty walk would let every other test here pass."""
    assert {module.partition(".")[0] for module in sources()} >= set(PACKAGES)
    assert len(all_imports()) > 100
    assert sys.version_info >= (3, 10)
