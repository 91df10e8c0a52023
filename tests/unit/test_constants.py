"""Each protocol constant and each default is defined once, in `vtep.constants`.

The test walks the syntax trees of all packages. Some numbers (4789, the last VNI) have one meaning
in this project and are rejected everywhere. Others (300, 64) have other meanings too; they are
rejected where a name or text next to them says that they are the default.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vtep import constants

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("vtep", "controller", "topologies", "vxlab")
DEFINITIONS = "vtep/constants.py"
# Conformance rows state the numbers of the RFC as literals: a wrong constant must fail them.
LITERALS_ALLOWED = re.compile(r"^\w+/conformance/(rows/\w+|frames)\.py$")

ONE_MEANING = {
    constants.VXLAN_PORT: "VXLAN_PORT",
    constants.LAST_VNI: "LAST_VNI",
    constants.LAST_VLAN: "LAST_VLAN",
    constants.FIRST_SOURCE_PORT: "FIRST_SOURCE_PORT",
}
SEVERAL_MEANINGS = [
    (constants.LAST_SOURCE_PORT, "LAST_SOURCE_PORT", re.compile(r"last_(source_)?port", re.I)),
    (constants.LARGEST_PACKET, "LARGEST_PACKET", re.compile(r"(largest|longest)_packet", re.I)),
    (constants.DEFAULT_AGEING_S, "DEFAULT_AGEING_S", re.compile(r"ageing", re.I)),
    (constants.DEFAULT_MAC_LIMIT, "DEFAULT_MAC_LIMIT", re.compile(r"limit", re.I)),
    (constants.DEFAULT_TTL, "DEFAULT_TTL", re.compile(r"ttl", re.I)),
]
OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.LShift: operator.lshift,
    ast.Sub: operator.sub,
    ast.Pow: operator.pow,
}


def number(node: ast.AST | None) -> float | None:
    """The value of a number, of its decimal text, or of an expression such as `(1 << 24) - 1`."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, str):
            return int(value) if value.isdecimal() else None
        return value if isinstance(value, (int, float)) else None
    if isinstance(node, ast.BinOp):
        compute, left, right = OPERATORS.get(type(node.op)), number(node.left), number(node.right)
        if compute is None or left is None or right is None:
            return None
        if isinstance(node.op, ast.Sub) or 0 <= right <= 64:
            return compute(int(left), int(right))
    return None


def named(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Values with a name beside them: assignments, keywords, default arguments, lookups."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    elif isinstance(node, ast.AnnAssign):
        yield from _assigned(node.target, node.value)
    elif isinstance(node, ast.keyword):
        yield node.arg or "", node.value
    elif isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        defaults = positional[len(positional) - len(node.defaults) :]
        for argument, default in zip(defaults, node.defaults, strict=True):
            yield argument.arg, default
        for argument, keyword_default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
            yield argument.arg, keyword_default
    elif isinstance(node, ast.Call):  # such as table.get("ttl", 64)
        texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
        name = " ".join(text for text in texts if isinstance(text, str))
        for argument_value in node.args:
            yield name, argument_value
    elif isinstance(node, ast.BoolOp):  # such as options.ttl or 64
        name = " ".join(filter(None, map(_name, node.values)))
        for operand in node.values:
            yield name, operand
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield str(key.value) if isinstance(key, ast.Constant) else "", value


def _assigned(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one_target, one_value in zip(target.elts, value.elts, strict=False):
            yield from _assigned(one_target, one_value)
    else:
        yield _name(target), value


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def second_definitions(source: str) -> Iterator[tuple[int, str]]:
    """Line and constant of each number that `vtep.constants` defines already."""
    for node in ast.walk(ast.parse(source)):
        value = number(node)
        if value in ONE_MEANING:
            yield getattr(node, "lineno", 0), ONE_MEANING[int(value)]
        for name, candidate in named(node):
            value = number(candidate)
            for defined, constant, pattern in SEVERAL_MEANINGS:
                if value == defined and pattern.search(name):
                    yield getattr(candidate, "lineno", 0), constant


def files() -> list[Path]:
    """The Python files of the packages that exist, without those that may use literals."""
    found = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")]
    return [
        path
        for path in sorted(found)
        if (name := path.relative_to(CHECKOUT).as_posix()) != DEFINITIONS
        and not LITERALS_ALLOWED.match(name)
    ]


def test_no_file_defines_a_constant_a_second_time() -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line}: use vtep.constants.{constant}"
        for path in files()
        for line, constant in second_definitions(path.read_text())
    ]
    assert len(files()) > 50
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "constant"),
    [
        ("PORT = 4789", "VXLAN_PORT"),
        ("command = ['dstport', '4789']", "VXLAN_PORT"),
        ("last = 0xFFFFFF", "LAST_VNI"),
        ("last = (1 << 24) - 1", "LAST_VNI"),
        ("if not 1 <= vlan <= 4_094: raise ValueError", "LAST_VLAN"),
        ("ports = [49152, 65535]", "FIRST_SOURCE_PORT"),
        ("FIRST, LAST_PORT = 1, 65535", "LAST_SOURCE_PORT"),
        ("_LONGEST_PACKET = 65_535", "LARGEST_PACKET"),
        ("ageing_s: float = 300.0", "DEFAULT_AGEING_S"),
        ("fdb.get('ageing_s', 300)", "DEFAULT_AGEING_S"),
        ("def learn(limit: int = 65_536): ...", "DEFAULT_MAC_LIMIT"),
        ("def learn(*, limit: int = 65_536): ...", "DEFAULT_MAC_LIMIT"),
        ("send(ttl=64)", "DEFAULT_TTL"),
        ("header(options.ttl or 64)", "DEFAULT_TTL"),
        ("table = {'ttl': 64}", "DEFAULT_TTL"),
    ],
)
def test_a_second_definition_is_found(source: str, constant: str) -> None:
    assert constant in [found for _, found in second_definitions(source)]


@pytest.mark.parametrize(
    "source", ["PRIORITY = 300", "recv(65536)", "HOPS = 64", "x & 0xFFFF", "TICK = 1 << 24"]
)
def test_numbers_with_another_meaning_are_allowed(source: str) -> None:
    assert not list(second_definitions(source))
