"""The doctor's verdicts on simulated machines."""

from __future__ import annotations

import sys

import pytest

from vxlab.setup.doctor import Check, checks
from vxlab.setup.probes import Probes


class Machine(Probes):
    """A machine that has everything except what a test removes."""

    def __init__(self, root: bool = False, module: bool = False, tun: bool = True) -> None:
        self.is_root, self.tun = root, tun
        self.paths = {"/dev/net/tun"} | ({"/sys/module/openvswitch"} if module else set())
        self.files = {"/proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable:    4194304 kB"}
        self.without_tools: set[str] = set()
        self.failing: set[str] = set()  # a word of a command line makes it fail
        self.ran: list[tuple[str, ...]] = []
        self.trial = "loaded"  # the outcome of loading the eBPF programs

    def tool(self, name: str) -> bool:
        return name not in self.without_tools

    def run(self, *command: str) -> str | None:
        self.ran.append(command)
        if self.failing & set(command):
            return None
        return "ovs-vsctl (Open vSwitch) 3.1.0\nDB Schema 8.3.1" if "ovs-vsctl" in command else ""

    def python(self, program: str) -> str | None:
        if any(word in program for word in self.failing):
            return None
        return self.trial if "trial" in program else "1.2.3"

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return path in self.paths

    def opens(self, path: str) -> bool:
        return self.exists(path) and self.tun

    def root(self) -> bool:
        return self.is_root


def verdict(machine: Machine, name: str) -> Check:
    """The one check of that name."""
    (check,) = [check for check in checks(machine) if check.name == name]
    return check


def test_on_a_complete_machine_every_check_passes() -> None:
    assert [check for check in checks(Machine()) if check.needed and not check.ok] == []


def test_each_failed_check_has_a_fix_of_one_line_and_others_have_none() -> None:
    bare = Machine(tun=False)
    bare.without_tools = {"mnexec", "ovs-vswitchd", "ovsdb-server"}
    bare.failing = {"ovs-vsctl", "mininet.net", "ryu", "unshare", "modprobe"}
    for check in checks(bare) + checks(Machine()):
        assert bool(check.fix) is not check.ok, check
        assert "\n" not in check.fix


def test_the_fix_for_missing_tools_installs_their_packages() -> None:
    machine = Machine()
    machine.without_tools = {"ovs-vswitchd", "ovsdb-server", "tshark"}
    check = verdict(machine, "tools")
    assert check.fix.endswith(" openvswitch-switch tshark")
    assert "ovsdb-server" in check.detail


@pytest.mark.parametrize("word", ["mininet.net", "scapy", "import ryu"])
def test_a_library_that_cannot_be_imported_is_set_up_again(word: str) -> None:
    machine = Machine()
    machine.failing = {word}
    lacks = [check for check in checks(machine) if check.needed and not check.ok]
    assert [check.fix for check in lacks] == ["make setup"]


@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    ],
)
def test_the_setting_that_forbids_user_namespaces_is_named_with_its_fix(
    setting: str, value: str, fix: str
) -> None:
    machine = Machine()
    machine.failing = {"unshare"}
    machine.files[f"/proc/sys/{setting}"] = value
    check = verdict(machine, "namespaces")
    assert check.needed
    assert not check.ok
    assert check.fix.startswith("sudo sysctl -w ")
    assert check.fix.endswith(fix)


def test_root_needs_no_user_namespace() -> None:
    machine = Machine(root=True)
    assert verdict(machine, "namespaces").ok
    assert not any("--user" in command for command in machine.ran)


@pytest.mark.parametrize(
    ("root", "module", "tun", "datapath", "tun_needed"),
    [
        (True, True, False, "kernel", False),
        (True, True, True, "kernel", False),
        (False, True, True, "kernel", False),
        (False, True, False, "kernel", False),
        (False, False, True, "userspace", True),
    ],
)
def test_the_datapath_a_lab_will_use_and_whether_it_needs_tun(
    root: bool, module: bool, tun: bool, datapath: str, tun_needed: bool
) -> None:
    machine = Machine(root=root, module=module, tun=tun)
    assert f"{datapath} datapath" in verdict(machine, "openvswitch module").detail
    assert verdict(machine, "/dev/net/tun").needed is tun_needed


def test_root_counts_on_a_module_that_can_be_loaded() -> None:
    assert verdict(Machine(root=True, tun=False), "openvswitch module").ok
    without = Machine(root=True, tun=False)
    without.failing = {"modprobe"}
    assert not verdict(without, "openvswitch module").ok
    assert verdict(without, "/dev/net/tun").fix == "sudo chmod 0666 /dev/net/tun"


def test_too_little_memory_is_reported() -> None:
    machine = Machine()
    machine.files["/proc/meminfo"] = "MemAvailable:     131072 kB"
    check = verdict(machine, "memory")
    assert not check.ok
    assert check.detail.startswith("128 MiB")


def test_an_ebpf_program_that_cannot_be_loaded_is_explained_and_is_not_needed() -> None:
    machine = Machine()
    assert verdict(machine, "eBPF data path").ok
    machine.trial = "Operation not permitted; loading eBPF takes root"
    check = verdict(machine, "eBPF data path")
    assert not check.ok and not check.needed
    assert check.fix == f"sudo {sys.executable} -m vxlab demo"  # no Makefile after pip install
    assert check.detail == f"{machine.trial}; VTEPs forward in Python"


def test_the_end_of_the_verifiers_log_follows_the_reason() -> None:
    machine = Machine(root=True)
    reason = "the verifier rejects the eBPF program from_port: R1 invalid mem access 'scalar'"
    machine.trial = f"{reason}\n7: (61) r1 = *(u32 *)(r1 +8)\nR1 invalid mem access 'scalar'"
    check = verdict(machine, "eBPF data path")
    assert check.detail == f"{reason}; VTEPs forward in Python"
    assert check.lines == ("7: (61) r1 = *(u32 *)(r1 +8)", "R1 invalid mem access 'scalar'")
