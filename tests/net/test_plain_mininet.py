"""Topology files in plain `mn`, as topologies/README.md describes it: without PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT

# Plain Mininet needs a running Open vSwitch. This one is private, in namespaces of its own.
IN_A_SANDBOX = """
import os, subprocess, sys
from pathlib import Path
from vxlab.system import open_vswitch as ovs
from vxlab.system import sandbox
from vxlab.system.directory import LabDirectory

directory = LabDirectory(Path(sys.argv[1]))
directory.make_folders()

def main():
    os.environ.update(ovs.environment(directory))
    os.environ.pop("PYTHONPATH", None)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ovs.OpenVSwitch(directory).start()
    return subprocess.run(["mn", *sys.argv[2:]]).returncode

keeper, _ = sandbox.start(main, directory.path, False, None)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="plain Mininet needs root")
def test_a_topology_with_options_runs_from_any_directory(tmp_path: Path) -> None:
    file = CHECKOUT / "topologies" / "many_vteps.py"
    options = "many_vteps,vteps=3,vms=1,ageing=60"
    command = ["--custom", str(file), "--topo", options, "--controller", "vxlab"]
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SANDBOX, str(tmp_path / "mn"), *command, "--test", "pingall"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    reached = next(line for line in said.splitlines() if line.startswith("vm1 ->"))
    assert reached.split("->")[1].replace("X", "").split() == ["vm2", "vm3"], said
