"""Checks of the kernel: namespaces, kinds of links, Open vSwitch's datapath, eBPF."""

from __future__ import annotations

from collections.abc import Callable

from vtep.constants import VXLAN_PORT
from vxlab.setup.installation import demo_as_root, install_fast_path
from vxlab.setup.probes import Check, Probes, found, lacking

TUN = "/dev/net/tun"

# setting, the value that denies user namespaces to ordinary users, the value that allows them
_FORBIDDING = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
)


def _namespaces(probes: Probes) -> Check:
    name = "namespaces"
    if probes.run(*_unshared(probes), "true") is not None:
        return found(name, "as root" if probes.root() else "also for ordinary users")
    if probes.root():
        return lacking(
            name,
            "root may not create them; is this a container without --privileged?",
            "docker run --privileged IMAGE",
        )
    for setting, forbids, allows in _FORBIDDING:
        if probes.read(f"/proc/sys/{setting}") == forbids:
            dotted = setting.replace("/", ".")
            fix = f"sudo sysctl -w {dotted}={allows}"
            return lacking(name, f"{dotted} is {forbids}; root needs no such setting", fix)
    return lacking(name, "this kernel has none for ordinary users", demo_as_root())


def _unshared(probes: Probes) -> list[str]:
    """The start of a command line that runs in namespaces like a lab's."""
    user = [] if probes.root() else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--mount", "--pid", "--fork"]


def _link(kind: str, needed: bool, use: str, *options: str) -> Callable[[Probes], Check]:
    """Whether the kernel can create links of a kind; tried in a network namespace of its own."""

    def check(probes: Probes) -> Check:
        if not _namespaces(probes).ok:
            return lacking(kind, "not checked: that needs namespaces", "vxlab doctor", needed=False)
        trial = ["ip", "link", "add", "probe", "type", kind, *options]
        if probes.run(*_unshared(probes), *trial) is not None:
            return found(kind, "the kernel has it", needed)
        return lacking(
            kind, f"the kernel cannot create such links; {use}", f"sudo modprobe {kind}", needed
        )

    return check


def _module(probes: Probes) -> bool:
    """Whether a lab uses Open vSwitch's kernel module: it is loaded, or root can load it."""
    if probes.exists("/sys/module/openvswitch"):
        return True
    return probes.root() and probes.run("modprobe", "-n", "openvswitch") is not None


def _datapath(probes: Probes) -> Check:
    name = "openvswitch module"
    if _module(probes):
        return found(name, "Open vSwitch uses its kernel datapath", needed=False)
    detail = "Open vSwitch uses its userspace datapath"
    return lacking(name, detail, "sudo modprobe openvswitch", needed=False)


def _tun(probes: Probes) -> Check:
    needed = not _module(probes)
    if probes.opens(TUN):
        return found(TUN, "this user can open it", needed)
    if not probes.exists(TUN):
        return lacking(TUN, "missing; the userspace datapath needs it", "sudo modprobe tun", needed)
    detail = "this user cannot open it; the userspace datapath needs it"
    return lacking(TUN, detail, f"sudo chmod 0666 {TUN}", needed)


_LOADED = "loaded"
_TRIAL = f"""
from vtep.fastpath.choice import trial
print(*(trial() or ["{_LOADED}"]), sep="\\n")
"""


def _fast_path(probes: Probes) -> Check:
    """Whether the kernel accepts the eBPF programs; they are loaded to find out."""
    name = "eBPF data path"
    reason, *log = (probes.python(_TRIAL) or "this Python cannot load it").splitlines()
    if reason == _LOADED:
        return found(name, "the kernel accepts the programs", needed=False)
    detail = f"{reason}; VTEPs forward in Python"
    missing = "not compiled" in reason or probes.root()
    fix = install_fast_path() if missing else demo_as_root()
    return lacking(name, detail, fix, needed=False, lines=tuple(log))


KERNEL_CHECKS: tuple[Callable[[Probes], Check], ...] = (
    _namespaces,
    _link("veth", True, "all links of a lab are of this kind"),
    _link(
        "vxlan",
        False,
        "only VTEPs of the kind `linux` need it",
        "id",
        "1",
        "dstport",
        str(VXLAN_PORT),
    ),
    _datapath,
    _tun,
    _fast_path,
)
