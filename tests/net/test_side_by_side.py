"""Labs do not interfere: two at once, one of an ordinary user, one of plain Mininet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT, VXLAB, lab, processes_below, vxlab
from tests.support.users import as_nobody, give_to_nobody, needs_root


def test_two_labs_of_one_topology_are_isolated() -> None:
    with lab("three_vteps", "t-left") as left, lab("three_vteps", "t-right") as right:
        left.ping("A", "10.0.0.2")
        assert right.listing("fdb") == []
        right.ping("C", "10.0.0.1")
        left.assert_row("hv1", 10, "02:00:00:00:00:0b", "192.0.2.12")
        assert left.row("hv1", 10, "02:00:00:00:00:0c") is None
        ambiguous = vxlab("fdb")
        assert ambiguous.returncode == 2
        assert "t-left, t-right" in ambiguous.stderr


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory owned by user nobody, for its labs."""
    path = Path(f"/tmp/vxlab-test-{os.getpid()}")
    path.mkdir(mode=0o700)
    give_to_nobody(path)
    yield path
    shutil.rmtree(path)


@needs_root
def test_an_ordinary_user_needs_no_root(base: Path) -> None:
    vxlab_ = " ".join(VXLAB)
    done = as_nobody(
        f"{vxlab_} up three_vteps -d && {vxlab_} exec A -- ping -c1 -W2 10.0.0.2 && "
        f"{vxlab_} fdb && {vxlab_} capture hv1 -c 1 -w {base}/x.pcapng & "
        f"wait; {vxlab_} exec A -- ping -c1 -W2 10.0.0.3; {vxlab_} down && {vxlab_} demo",
        base,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All eight steps were verified." in done.stdout
    assert "1 received" in done.stdout
    assert not list(base.glob("*/lock"))
    assert processes_below(base) == []


@needs_root
def test_an_ordinary_user_can_run_the_demo_after_root_has_run_labs(base: Path) -> None:
    """In a lab's user namespace the user is root, whose labs are in /run/vxlab, mode 0700."""
    done = as_nobody(
        f"env -u VXLAB_BASE XDG_RUNTIME_DIR={base} {' '.join(VXLAB)} demo",
        base,
        cwd=CHECKOUT,
        prepare="mount -t tmpfs tmpfs /run && mkdir -m 700 /run/vxlab",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All eight steps were verified." in done.stdout
    assert done.stderr == ""


@needs_root
def test_an_ordinary_user_can_restart_vswitchd(base: Path) -> None:
    vxlab_ = " ".join(VXLAB)
    done = as_nobody(
        f"{vxlab_} up three_vteps -d && {vxlab_} restart ovs-vswitchd && "
        f'{vxlab_} exec s1 -- sh -c "kill -9 \\$(cat \\$OVS_RUNDIR/ovs-vswitchd.pid)" && '
        f"{vxlab_} restart ovs-vswitchd && "
        f"{vxlab_} restart ovs-vswitchd; {vxlab_} down",
        base,
        cwd=CHECKOUT,
    )
    assert done.stdout.count("ovs-vswitchd of lab three_vteps runs") == 3, done


@needs_root
def test_the_error_for_an_inaccessible_tun_names_the_command_that_fixes_it(base: Path) -> None:
    done = as_nobody(f"{' '.join(VXLAB)} demo", base, tun_mode="600", cwd=CHECKOUT)
    assert "Traceback" not in done.stderr
    if Path("/sys/module/openvswitch").is_dir():  # the kernel's datapath needs no tun device
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert done.returncode == 1
        assert "sudo chmod 0666 /dev/net/tun" in done.stderr


PLAIN_MININET = """
import sys
from collections.abc import Iterator
from pathlib import Path
from vxlab.system import open_vswitch as ovs
from vxlab.system import sandbox
from vxlab.system.directory import LabDirectory
import os, subprocess

directory = LabDirectory(Path(sys.argv[1]))
directory.make_folders()

def main():
    os.environ.update(ovs.environment(directory))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ovs.OpenVSwitch(directory).start()
    command = ["mn", "--custom", "topologies/three_vteps.py", "--topo", "three_vteps",
               "--controller", "vxlab", "--test", "pingall"]
    return subprocess.run(command).returncode

keeper, _ = sandbox.start(main, directory.path, False, None)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1]))
"""


@needs_root
def test_a_topology_works_in_plain_mininet(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_MININET, str(tmp_path / "mn")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # VMs reach VMs and hypervisors reach hypervisors; they must not reach each other.
    for node, others in {"A": "B C", "B": "A C", "hv1": "hv2 hv3"}.items():
        reached = next(line for line in said.splitlines() if line.startswith(f"{node} ->"))
        assert reached.split("->")[1].replace("X", "").split() == others.split(), said
