"""The doctor's questions about the kernel: namespaces, links, Open vSwitch's datapath."""

from __future__ import annotations

from collections.abc import Callable

from vtep.constants import VXLAN_PORT
from vxlab.setup.probes import Check, Probes, found, lacking

TUN = "/dev/net/tun"

# setting, the value that forbids user namespaces to ordinary users, the command that allows them
_FORBIDDING = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
)


def _namespaces(probes: Probes) -> Check:
    name = "namespaces"
    if probes.run(*_unshared(probes), "true") is not None:
        return found(name, "as root" if probes.root() else "for ordinary users, too")
    if probes.root():
        return lacking(
            name, "root may not make them: inside a container?", "docker run --privileged IMAGE"
        )
    for setting, forbids, allows in _FORBIDDING:
        if probes.read(f"/proc/sys/{setting}") == forbids:
            dotted = setting.replace("/", ".")
            cure = f"sudo sysctl -w {dotted}={allows}"
            return lacking(name, f"{dotted} is {forbids}; running as root works, too", cure)
    return lacking(name, "not for ordinary users on this kernel", "sudo make demo")


def _unshared(probes: Probes) -> list[str]:
    """The start of a command line that runs in namespaces like a lab's."""
    user = [] if probes.root() else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--mount", "--pid", "--fork"]


def _link(kind: str, needed: bool, use: str, *options: str) -> Callable[[Probes], Check]:
    """Whether the kernel makes links of a kind: tried where nobody sees it."""

    def check(probes: Probes) -> Check:
        if not _namespaces(probes).ok:
            return lacking(kind, "not tried, for want of namespaces", "vxlab doctor", needed=False)
        trial = ["ip", "link", "add", "probe", "type", kind, *options]
        if probes.run(*_unshared(probes), *trial) is not None:
            return found(kind, "the kernel has it", needed)
        return lacking(
            kind, f"the kernel makes no such link; {use}", f"sudo modprobe {kind}", needed
        )

    return check


def _module(probes: Probes) -> bool:
    """Whether Open vSwitch's kernel module is loaded, or root can load it: a lab then uses it."""
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
        return found(TUN, "this user may open it", needed)
    if not probes.exists(TUN):
        return lacking(TUN, "missing; the userspace datapath needs it", "sudo modprobe tun", needed)
    detail = "this user may not open it; the userspace datapath needs it"
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
    cure = "make setup" if probes.root() else "sudo make demo"
    return lacking(name, detail, cure, needed=False, lines=tuple(log))


KERNEL_CHECKS: tuple[Callable[[Probes], Check], ...] = (
    _namespaces,
    _link("veth", True, "every link of a lab is one"),
    _link(
        "vxlan",
        False,
        "only the kernel's own VTEP beside ours needs it",
        "id",
        "1",
        "dstport",
        str(VXLAN_PORT),
    ),
    _datapath,
    _tun,
    _fast_path,
)
