"""Nodes whose names are longer than Linux permits for interfaces, or unusual."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.labs import VXLAB, lab, vxlab
from vxlab.vteps.kinds import KINDS

TOPOLOGY = """
from vxlab import OverlayTopo

class LongNames(OverlayTopo):
    def lay(self):
        red = self.segment(0, "239.1.1.1")
        first = self.underlay_switch("a-long-switch01")
        second = self.underlay_switch("2nd", first)
        one = self.hypervisor("hv-1.a", first)
        other = self.hypervisor("hypervisor-of-the-first-building", second)
        self.hypervisor("stranger", second)
        self.vm("webserver-with-a-long-name", one, red, "10.0.0.1/31", vlan=4094)
        self.vm("2", other, red, "10.0.0.0/31", vlan=4094)
        self.machine("router-with-a-long-name", first, "192.0.2.1/24")

topos = {"long_names": LongNames}
"""


@pytest.fixture
def topology(tmp_path: Path) -> str:
    file = tmp_path / "long_names.py"
    file.write_text(TOPOLOGY)
    return str(file)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_vtep_works_behind_a_long_name(topology: str, kind: str) -> None:
    with lab(topology, "t-long-names", f"vtep={kind}") as running:
        running.ping("webserver-with-a-long-name", "10.0.0.0")
        running.ping("router-with-a-long-name", "192.0.2.12")


def test_the_links_of_a_switch_with_a_long_name_can_be_captured(topology: str) -> None:
    with lab(topology, "t-long-names") as running:
        capture = subprocess.Popen(
            [*VXLAB, "capture", "--lab", running.name, "a-long-switch01", "-c", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert capture.stderr is not None
        assert "capturing" in capture.stderr.readline()
        running.ping("webserver-with-a-long-name", "10.0.0.0")
        line, _ = capture.communicate(timeout=10)
    assert " a-long5687-eth" in line


def test_the_demo_runs_with_long_names(topology: str) -> None:
    done = vxlab("demo", topology, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    evidence = json.loads(done.stdout)["steps"][3]["evidence"]
    assert "hyperv11ef-eth0 received 1 copy" in evidence
