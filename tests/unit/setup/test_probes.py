"""The probes on the machine the tests run on."""

from __future__ import annotations

from pathlib import Path

from vxlab.setup.probes import Probes


def test_a_command_answers_with_its_output_or_none() -> None:
    probes = Probes()
    assert probes.run("echo", "here") == "here"
    assert probes.run("false") is None
    assert probes.run("no-such-command") is None


def test_this_python_runs_programs() -> None:
    assert Probes().python("print(6 * 7)") == "42"
    assert Probes().python("import no_such_module") is None


def test_files_and_devices(tmp_path: Path) -> None:
    file = tmp_path / "setting"
    file.write_text("1\n")
    probes = Probes()
    assert probes.read(str(file)) == "1"
    assert probes.opens(str(file))
    assert probes.exists(str(file))
    assert probes.read(str(tmp_path / "absent")) is None
    assert not probes.opens(str(tmp_path / "absent"))


def test_tools_are_found_where_only_root_looks_too() -> None:
    assert Probes().tool("sh")
    assert not Probes().tool("no-such-command")
