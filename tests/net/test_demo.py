"""`vxlab demo`: all eight steps with evidence, and a clear failure if one of them fails."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.labs import CHECKOUT, VXLAB, vxlab
from tests.support.poll import eventually
from tests.support.users import as_nobody, needs_root
from vxlab.lab.handle import labs

VERIFIED = "All eight steps were verified."


def settings(*pairs: str) -> list[str]:
    return [argument for pair in pairs for argument in ("--set", pair)]


def steps_of(*arguments: str) -> list[dict[str, Any]]:
    """The steps of a demo that succeeds."""
    done = vxlab("demo", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    steps: list[dict[str, Any]] = json.loads(done.stdout)["steps"]
    return steps


def test_all_eight_steps_are_verified(tmp_path: Path) -> None:
    capture = tmp_path / "demo.pcapng"
    done = vxlab("demo", "-w", str(capture))
    assert done.returncode == 0, done.stdout + done.stderr
    assert VERIFIED in done.stdout
    assert "239.1.1.10" in done.stdout
    assert "\x1b[" not in done.stdout  # plain text in a pipe
    assert capture.stat().st_size > 0
    assert not [lab for lab in labs() if lab.name.startswith("demo-")]


def test_the_steps_as_json() -> None:
    steps = steps_of()
    assert [step["step"] for step in steps] == list(range(1, 9))
    assert all(step["ok"] and step["evidence"] and step["untrue"] is None for step in steps)


def test_a_vtep_in_the_wrong_group_fails_the_first_step() -> None:
    done = vxlab("demo", "--set", "group.hv3=239.1.1.99")
    assert done.returncode == 1
    assert "Step 1 failed: hv3 uses group 239.1.1.99 for VNI 10, not 239.1.1.10" in done.stdout


def test_some_hypervisors_do_not_carry_the_vni() -> None:
    steps = steps_of("many_vteps", *settings("vteps=4", "vms=1", "vnis=2"))
    assert "hv2-eth0 received 0 copies: hv2 does not carry the VNI" in steps[3]["evidence"]


def test_over_ipv6_the_groups_are_joined_by_mld() -> None:
    joined, _, packet, delivered, *_ = steps_of("--set", "underlay=ipv6")
    assert "hv3 (2001:db8::d) has joined ff05::ef01:10a for VNI 10" in joined["evidence"]
    assert "s1 forwards ff05::ef01:10a only to hv1 hv2 hv3 (snooped)" in joined["evidence"]
    assert any("2001:db8::b -> ff05::ef01:10a, hop limit 64" in line for line in packet["evidence"])
    assert "hv3-eth0 received 1 copy" in delivered["evidence"]


def test_over_ipv6_hypervisors_that_do_not_carry_the_vni_get_no_copy() -> None:
    pairs = ("underlay=ipv6", "vteps=4", "vms=1", "vnis=2", "switches=3")
    evidence = steps_of("many_vteps", *settings(*pairs))[3]["evidence"]
    assert {
        "hv2-eth0 received 0 copies: hv2 does not carry the VNI",
        "hv3-eth0 received 1 copy",
    } <= set(evidence)


LINK_LOCAL = """
from vxlab.topology.overlay import OverlayTopo


class LinkLocal(OverlayTopo):
    def lay(self):
        one, other = self.segment(10, "ff02::77"), self.segment(20, "ff05::77")
        s1 = self.underlay_switch("s1")
        for number, segment in enumerate((one, other, one), start=1):
            hypervisor = self.hypervisor(f"hv{number}", s1)
            self.vm(f"v{number}", hypervisor, segment, f"10.0.0.{number}/24")


topos = {"link_local": LinkLocal}
"""


def test_a_link_local_group_is_flooded_and_other_vteps_ignore_it(tmp_path: Path) -> None:
    path = tmp_path / "link_local.py"
    path.write_text(LINK_LOCAL)
    joined, *_ = steps = steps_of(str(path), "--set", "underlay=ipv6")
    assert "ff02::77 is link-local: switches do not snoop it, they flood it" in joined["evidence"]
    ignored = "hv2-eth0 received 1 copy, since the switches flood it; hv2 ignored it"
    assert ignored in steps[3]["evidence"]


# -- kinds of VTEP


def test_kernel_vteps_verify_all_steps() -> None:
    """The kernel reports no events and no flood counters: captures and tables show the same."""
    steps = steps_of("--set", "vtep=linux")
    assert len(steps) == 8
    port = "hv1-v0.1, the port of VLAN 1, carries it to the VTEP, which is VNI 10"
    assert port in steps[1]["evidence"]
    link = "hv3: its link carried no packet to 239.1.1.10 (kind linux counts no floods)"
    assert link in steps[7]["evidence"]


def test_kernel_vteps_and_agents_verify_all_steps_together_over_ipv6() -> None:
    steps = steps_of(*settings("vtep.hv2=linux", "underlay=ipv6"))
    evidence = steps[7]["evidence"]
    assert any(line.startswith("hv2: its link carried no packet to ff05::") for line in evidence)
    assert any(line.startswith("hv3: flood counters unchanged") for line in evidence)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            "vtep.hv2=ovs",
            "shows flooding to a multicast group, which VTEPs of kind ovs do not support (hv2); "
            "choose another kind with --set vtep=",
        ),
        ("flooding=head-end", "and flooding is head-end; leave out --set flooding=head-end"),
        ("ipv6=true", "needs VMs that are silent, and IPv6 sends packets by itself; leave out"),
        ("ageing.hv2=1", "--set ageing = 1 of hv2: must be at least 60"),
    ],
)
def test_what_the_demo_cannot_show_is_refused_before_anything_starts(
    pair: str, message: str, tmp_path: Path
) -> None:
    capture = tmp_path / "demo.pcapng"
    done = vxlab("demo", "--set", pair, "-w", str(capture))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("vxlab: demo: ")
    assert message in line
    assert done.stdout == ""
    assert not capture.exists()


def test_another_vni_is_shown_where_one_has_no_group(tmp_path: Path) -> None:
    """VNI 10 includes a VTEP without multicast, VNI 20 does not."""
    path = tmp_path / "two.py"
    path.write_text(
        LINK_LOCAL.replace("ff02::77", "239.1.1.10").replace("ff05::77", "239.1.1.20")
        .replace('"10.0.0.{number}/24")', '"10.0.0.{number}/24")\n'
                 '            if number < 3:\n'
                 '                self.vm(f"w{number}", hypervisor, other, f"10.1.0.{number}/24")')
        .replace("(one, other, one)", "(one, one, one)")
    )  # fmt: skip
    steps = steps_of(str(path), "--set", "vtep.hv3=ovs")
    assert "hv1 (192.0.2.11) has joined 239.1.1.20 for VNI 20" in steps[0]["evidence"]


# -- files and users


def test_a_file_that_cannot_be_written_is_reported_before_the_start() -> None:
    done = vxlab("demo", "-w", "/nonexistent/x")
    assert done.returncode == 2
    expected = "vxlab: /nonexistent/x: cannot be written: No such file or directory\n"
    assert (done.stdout, done.stderr) == ("", expected)


def test_a_demo_that_is_terminated_leaves_no_lab() -> None:
    demo = subprocess.Popen([*VXLAB, "demo"], stdout=subprocess.DEVNULL, cwd=CHECKOUT)
    name = f"demo-{demo.pid}"

    def ready() -> None:
        assert [lab for lab in labs() if lab.name == name and lab.state["state"] == "ready"]

    eventually(ready, within=60)
    demo.terminate()
    assert demo.wait(30) == 128 + signal.SIGTERM
    assert name not in [lab.name for lab in labs()]


@needs_root
def test_an_ordinary_user_runs_it_where_root_has_labs() -> None:
    """Inside the lab's user namespace the user looks like root, whose labs are in /run/vxlab."""
    done = as_nobody(
        f"env -u VXLAB_BASE -u XDG_RUNTIME_DIR {' '.join(VXLAB)} demo",
        Path("/nonexistent"),
        cwd=CHECKOUT,
        prepare="mount -t tmpfs tmpfs /run && mkdir -m 700 /run/vxlab",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert VERIFIED in done.stdout
