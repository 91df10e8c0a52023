"""Invalid topology files and values: exit status 2, one line that names the fault, nothing started.

Each file is given to the command `vxlab up`, run in this process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.vxlab.invalid_files import (
    INVALID,
    INVALID_FILES,
    INVALID_OPTIONS,
    OPTIONS,
    Row,
    mine,
)
from vxlab.cli.main import main
from vxlab.topology import registry


@dataclass(frozen=True)
class Result:
    """What a run of `vxlab` returned and printed."""

    status: int
    stderr: str
    stdout: str


Up = Callable[..., Result]


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Up:
    """Run `vxlab up ARGUMENTS -d` in an empty directory where no process may be started."""

    def refuse(*_arguments: object, **_more: object) -> int:
        raise AssertionError("vxlab started a process")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VXLAB_BASE", str(tmp_path / "labs"))
    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["vxlab", "up", *arguments, "-d"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not (tmp_path / "labs").exists(), "vxlab made a lab's directory"
        code = ended.value.code
        assert isinstance(code, int)
        printed = capfd.readouterr()
        return Result(code, printed.err, printed.out)

    return run


def assert_rejected(result: Result, beginning: str, *words: str) -> None:
    """Exit status 2 and exactly one line on stderr, with these words."""
    assert result.status == 2, result
    assert result.stderr.startswith(f"vxlab: {beginning}"), result.stderr
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n"), result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("row", INVALID.values(), ids=INVALID.keys())
def test_an_invalid_topology_is_one_line_that_names_file_line_and_node(row: Row, up: Up) -> None:
    statement, node, words = row
    Path("mine.py").write_text(mine(statement), encoding="utf-8")
    assert_rejected(up("mine.py"), "mine.py:10: ", node, words)


def test_what_a_file_prints_does_not_reach_stdout(up: Up) -> None:
    """It would come before the JSON document of `up --json`."""
    Path("mine.py").write_text('print("loaded")\n' + mine('print("laid"); 1 / 0'))
    result = up("mine.py", "--json")
    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith("loaded\nlaid\nvxlab: mine.py:11: ZeroDivisionError")


def test_the_line_of_an_error_is_the_innermost_one_of_the_file(up: Up) -> None:
    Path("mine.py").write_text(mine("self.lay()"))
    assert_rejected(up("mine.py"), "mine.py:5: VNI 10: defined twice")


def test_the_valid_file_of_the_table_is_valid(tmp_path: Path) -> None:
    """Otherwise each row above could fail for a reason of the common part."""
    file = tmp_path / "mine.py"
    file.write_text(mine('self.vm("B", hv2, red, "10.0.0.2/24", vlan=6)'))
    assert list(registry.build(str(file), {}).vms) == ["A", "B"]


@pytest.mark.parametrize("row", INVALID_OPTIONS.values(), ids=INVALID_OPTIONS.keys())
def test_an_invalid_option_declaration_is_one_line(row: tuple[str, str, str], up: Up) -> None:
    option, place, words = row
    Path("mine.py").write_text(OPTIONS.format(option=option))
    assert_rejected(up("mine.py"), f"mine.py{place}", words)


def test_options_must_be_a_tuple(up: Up) -> None:
    text = OPTIONS.format(option="").replace("options = (", "options = Option(", 1)
    text = text.replace('        Option("good", whole(1, 9), 4, "a valid one"),\n', "")
    Path("mine.py").write_text(text.replace("Option(\n", 'Option("a", FLAG, True, "x"\n', 1))
    assert_rejected(up("mine.py"), "mine.py: Mine.options", "must be a tuple of Option")


@pytest.mark.parametrize("row", INVALID_FILES.values(), ids=INVALID_FILES.keys())
def test_an_invalid_file_is_one_line(row: tuple[bytes, str, str], up: Up) -> None:
    source, beginning, words = row
    Path("mine.py").write_bytes(source)
    assert_rejected(up("mine.py"), beginning, words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonesuch.py", "topology nonesuch.py: no such file"),
        ("folder/nonesuch.py", "topology folder/nonesuch.py: no such file"),
        ("nonesuch", "topology nonesuch: unknown; must be one of many_vnis, many_vteps"),
        ("", "topology '': unknown; must be one of"),
        (".", "topology .: is a directory"),
        ("folder.py", "topology folder.py: is a directory"),
        ("folder", "topology folder: is a directory"),
        ("good", "topology good: unknown; did you mean good.py?"),
        ("text.txt", "topology text.txt: the file's name must end in .py"),
        ("pipe.py", "topology pipe.py: is not a regular file"),
        ("dangling.py", "topology dangling.py: no such file"),
        ("__init__", "topology __init__: unknown"),
        ("a\nb", r"topology 'a\nb': unknown"),
        ("\udcff.py", r"topology '\udcff.py': no such file"),
        ("x" * 5000 + ".py", "topology xxxx"),
        ("good.py/x.py", "topology good.py/x.py: no such file"),
    ],
)
def test_what_is_no_topology_is_one_line(name: str, words: str, up: Up) -> None:
    Path("folder").mkdir()
    Path("folder.py").mkdir()
    Path("good.py").write_text(mine("pass"))
    Path("text.txt").write_text(mine("pass"))
    os.mkfifo("pipe.py")
    Path("dangling.py").symlink_to("nowhere.py")
    assert_rejected(up(name), words)


def test_a_file_that_cannot_be_read_is_one_line(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read every file, so the refusal is simulated."""

    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    Path("mine.py").write_text(mine("pass"))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert_rejected(up("mine.py"), "mine.py: cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("nonsense=1", "--set nonsense: unknown option; must be one of ageing"),
        ("self=1", "--set self: unknown option"),
        ("hopts=1", "--set hopts: unknown option"),
        ("ageing", "--set ageing"),
        ("=5", "--set =5"),
        ("ageing=", "--set ageing = '': must be a whole number from 1"),
        ("ageing=0", "--set ageing = '0': must be a whole number from 1"),
        ("ageing=1_000", "--set ageing = '1_000': must be a whole number"),
        ("ageing= 5", "--set ageing = ' 5': must be a whole number"),
        ("ageing=٣", "--set ageing = '٣': must be a whole number"),
        ("ageing=1e3", "--set ageing = '1e3': must be a whole number"),
        ("ageing=5\n6", r"--set ageing = '5\n6': must be a whole number"),
        (f"ageing={'9' * 5000}", "--set ageing = '9999"),
        ("ageing.=5", "--set ageing.=5: must be ageing.HYPERVISOR=VALUE"),
        ("ageing.hv9=5", "--set ageing.hv9: no such hypervisor; must be one of hv1, hv2"),
        ("ageing.hv1.x=5", "--set ageing.hv1.x: no such hypervisor"),
        ("ipv6.hv1=true", "--set ipv6.hv1=true: ipv6 has one value for the whole lab"),
        ("strict=maybe", "--set strict = 'maybe': must be true or false"),
        ("vtep=none", "--set vtep = 'none': must be"),
        ("group=10.0.0.1", "--set group = '10.0.0.1': must be an IPv4 multicast group"),
        ("group=224.0.0.1", "--set group = '224.0.0.1': must be an IPv4 multicast group"),
        ("group.hv1=ff05::1", "--set group.hv1 = ff05::1: must be an IPv4 multicast group"),
        ("vm_mtu=575", "--set vm_mtu = '575': must be a whole number from 576"),
    ],
)
def test_an_invalid_setting_is_one_line(setting: str, words: str, up: Up) -> None:
    Path("mine.py").write_text(mine("pass"))
    assert_rejected(up("mine.py", "--set", setting), words)


@pytest.mark.parametrize(
    ("mtu", "ipv6"), [("underlay_mtu", "underlay=ipv6"), ("vm_mtu", "ipv6=true")]
)
def test_an_mtu_too_small_for_ipv6_is_one_line(mtu: str, ipv6: str, up: Up) -> None:
    Path("mine.py").write_text(mine("pass"))
    result = up("mine.py", "--set", f"{mtu}=1279", "--set", ipv6)
    assert_rejected(result, f"--set {mtu} = 1279: must be at least 1280, since ")


@pytest.mark.parametrize("name", ["Lab", "../x", "a b", "x" * 32, "-x", "a/b", "lab\n", "ü"])
def test_an_invalid_name_of_a_lab_is_one_line(name: str, up: Up) -> None:
    Path("mine.py").write_text(mine("pass"))
    result = up("mine.py", f"--name={name}")
    assert_rejected(result, "lab name ")
    assert re.search(r"lower-case", result.stderr)


OWN_KIND = """\
from vxlab import Option, OverlayTopo
from vxlab.topology.options import Kind

class Mine(OverlayTopo):
    options = (Option("size", Kind(lambda text: int(text) // (text < "5"), "4"), 4, "x"),)

    def lay(self):
        self.hypervisor("hv1", self.underlay_switch("s1"))
        pass

topos = {"mine": Mine}
"""


def test_a_kind_of_the_files_own_that_fails_is_one_line(up: Up) -> None:
    Path("mine.py").write_text(OWN_KIND)
    assert_rejected(up("mine.py", "--set", "size=7"), "mine.py:5: ZeroDivisionError")
