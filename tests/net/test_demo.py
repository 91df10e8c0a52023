"""`vxlab demo`: all eight steps with evidence, and a loud failure when one is not true."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.labs import vxlab
from vxlab.lab.handle import labs


def test_all_eight_steps_are_proved(tmp_path: Path) -> None:
    capture = tmp_path / "scene.pcapng"
    done = vxlab("demo", "-w", str(capture))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All eight steps were seen to be true." in done.stdout
    assert "239.1.1.10" in done.stdout
    assert "\x1b[" not in done.stdout  # plain text in a pipe
    assert capture.stat().st_size > 0
    assert not [lab for lab in labs() if lab.name.startswith("demo-")]


def test_the_steps_as_json() -> None:
    done = vxlab("demo", "--json")
    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    assert [step["step"] for step in story["steps"]] == list(range(1, 9))
    assert all(
        step["ok"] and step["evidence"] and step["untrue"] is None for step in story["steps"]
    )


def test_a_vtep_in_the_wrong_group_fails_the_first_step() -> None:
    done = vxlab("demo", "--set", "group.hv3=239.1.1.99")
    assert done.returncode == 1
    assert "Step 1 is not true: hv3 uses group 239.1.1.99 for VNI 10, not 239.1.1.10" in done.stdout


def test_the_scene_plays_where_some_hypervisors_are_strangers_to_the_vni() -> None:
    done = vxlab(
        "demo", "many_vteps", "--json", "--set", "vteps=4", "--set", "vms=1", "--set", "vnis=2"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    evidence = json.loads(done.stdout)["steps"][3]["evidence"]
    assert "hv2-eth0 received 0 copies" in evidence


def test_the_scene_is_true_over_ipv6_by_mld() -> None:
    done = vxlab("demo", "--json", "--set", "underlay=ipv6")
    assert done.returncode == 0, done.stdout + done.stderr
    joined, _, packet, carried, *_ = json.loads(done.stdout)["steps"]
    assert "hv3 (2001:db8::d) has joined ff05::ef01:10a for VNI 10" in joined["evidence"]
    assert "s1 has snooped ff05::ef01:10a towards hv1 hv2 hv3" in joined["evidence"]
    assert any("2001:db8::b -> ff05::ef01:10a, hop limit 64" in line for line in packet["evidence"])
    assert "hv3-eth0 received 1 copy" in carried["evidence"]


def test_over_ipv6_too_strangers_to_the_vni_get_no_copy() -> None:
    settings = ("underlay=ipv6", "vteps=4", "vms=1", "vnis=2", "switches=3")
    words = [word for setting in settings for word in ("--set", setting)]
    done = vxlab("demo", "many_vteps", "--json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    evidence = json.loads(done.stdout)["steps"][3]["evidence"]
    assert {"hv2-eth0 received 0 copies", "hv3-eth0 received 1 copy"} <= set(evidence)


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


def test_a_link_local_group_is_flooded_and_strangers_take_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "link_local.py"
    path.write_text(LINK_LOCAL)
    done = vxlab("demo", str(path), "--json", "--set", "underlay=ipv6")
    assert done.returncode == 0, done.stdout + done.stderr
    joined, *_ = steps = json.loads(done.stdout)["steps"]
    assert "ff02::77 is link-local: the switches flood what is sent to it" in joined["evidence"]
    assert "hv2-eth0 received 1 copy" in steps[3]["evidence"]
    taken = "  the switches flooded it; hv2 is not in the group and took none of it"
    assert taken in steps[3]["evidence"]
