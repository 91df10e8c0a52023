"""Wheels, Mininet's module, and the commands that complete an installation."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.unit.setup.test_doctor import Machine, verdict
from vxlab.setup import installation
from vxlab.system.mininet_module import MininetFinder

CHECKOUT = Path(__file__).resolve().parents[3]
BACKEND = "vxlab/setup/backend"


def tree(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_a_wheel_has_all_files_and_nothing_is_written_beside_the_sources(tmp_path: Path) -> None:
    sources = tmp_path / "checkout"
    copy = ["vtep", "controller", "vxlab", "topologies", "pyproject.toml", "README.md", "LICENSE"]
    sources.mkdir()
    subprocess.run(["cp", "-r", *copy, str(sources)], cwd=CHECKOUT, check=True)
    before = tree(sources)
    program = f"import sys; sys.path.insert(0, {BACKEND!r}); import vxlab_build as b; "
    program += f"b.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", program], cwd=sources, check=True, capture_output=True)
    assert tree(sources) == before
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "topologies/three_vteps.py",
        "controller/app.py",
        "vtep/fastpath/vxlan.bpf.c",
        "vtep/fastpath/vxlan6.bpf.o",
        "vtep/fastpath/frame.h",
        "vxlab/testing/plugin.py",
        "vxlab/setup/packages.txt",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "build/"))]


def test_without_a_compiler_no_object_of_an_older_version_is_left(tmp_path: Path) -> None:
    tools, objects = tmp_path / "bin", tmp_path / "fastpath"
    tools.mkdir()
    objects.mkdir()
    (tools / "rm").symlink_to(shutil.which("rm") or "/bin/rm")
    (objects / "vxlan4.bpf.o").touch()
    script = CHECKOUT / "vxlab" / "setup" / "compile_fast_path.sh"
    command = ["/bin/bash", str(script), str(objects)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tools)})
    assert done.returncode == 1
    assert done.stderr == "clang is not installed (Debian packages: clang libbpf-dev)\n"
    assert list(objects.iterdir()) == []


def test_only_mininet_is_found_in_the_distributions_directory(tmp_path: Path) -> None:
    for name in ("mininet", "OpenSSL"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    finder = MininetFinder([str(tmp_path)])
    spec = finder.find_spec("mininet")
    assert spec is not None
    assert spec.origin == str(tmp_path / "mininet" / "__init__.py")
    assert finder.find_spec("OpenSSL") is None
    assert MininetFinder([str(tmp_path / "nothing")]).find_spec("mininet") is None


WITHOUT_MININET = """
import sys
import vxlab
from vxlab.system.mininet_module import MininetFinder
sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, MininetFinder)]
from vxlab.cli import run
sys.argv = ["vxlab", *sys.argv[1:]]
run()
"""


def without_mininet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_MININET, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)


def test_without_mininet_the_doctor_runs_and_other_commands_are_an_error_of_one_line() -> None:
    done = without_mininet("doctor")
    assert "Mininet" in done.stdout
    assert done.stderr == ""
    done = without_mininet("list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "vxlab: Mininet is not installed; `make setup` installs it\n"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed by pip: there is no checkout."""
    monkeypatch.setattr(installation, "in_checkout", lambda: False)
    monkeypatch.setattr("vxlab.setup.doctor.in_checkout", lambda: False)
    monkeypatch.setattr(installation, "installed_from", lambda: "/home/me/vx lab")


APT = "sudo apt-get install -y --no-install-recommends"


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("missing", "check", "fix"),
    [
        ("mininet.net", "Mininet", f"{APT} mininet"),
        ("ovs-vsctl", "Open vSwitch", f"{APT} openvswitch-switch"),
        ("scapy", "Scapy", f"{sys.executable} -m pip install scapy"),
    ],
)
def test_without_a_checkout_the_fix_is_apt_or_pip(missing: str, check: str, fix: str) -> None:
    machine = Machine()
    machine.failing = {missing}
    found = verdict(machine, check)
    assert (found.ok, found.needed, found.fix) == (False, True, fix)


@pytest.mark.usefixtures("elsewhere")
def test_without_a_checkout_one_controller_framework_is_enough() -> None:
    machine = Machine()
    machine.failing = {"import ryu"}
    assert not verdict(machine, "Ryu").needed
    assert verdict(machine, "os-ken").ok
    machine.failing = {"import ryu", "os_ken"}
    found = verdict(machine, "os-ken")
    assert found.needed
    assert found.fix == f"{sys.executable} -m pip install 'os-ken>=4.0,<5'"


@pytest.mark.usefixtures("elsewhere")
def test_without_a_checkout_the_ebpf_program_is_compiled_by_a_new_installation() -> None:
    machine = Machine(root=True)
    machine.trial = "vxlan4.bpf.o was not compiled on installation (needs clang, libbpf-dev)"
    fix = verdict(machine, "eBPF data path").fix
    assert fix.startswith(f"{APT} clang libbpf-dev && {sys.executable} -m pip install ")
    assert fix.endswith("--force-reinstall --no-deps '/home/me/vx lab'")
