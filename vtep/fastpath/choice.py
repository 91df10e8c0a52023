"""Which data path an agent runs on, and why: the kernel's, where it may and can, else Python's."""

from __future__ import annotations

import errno
import os
import sys
from typing import NamedTuple

from vtep.config import Config
from vtep.errors import StartError
from vtep.fastpath.libbpf import Program, detach_leftovers
from vtep.fastpath.path import OBJECTS, FastPath
from vtep.options import Options
from vtep.ports.packet import PacketPort
from vtep.underlay.base import Underlay
from vtep.wire import is_ipv6

AUTO, EBPF, PYTHON = "auto", "ebpf", "python"


class Choice(NamedTuple):
    """The data path that runs."""

    name: str
    why: str


def hindrance(config: Config) -> str | None:
    """Why a configuration can only be served in Python; None if it need not be."""
    if not config.underlay.udp_checksum:
        return None
    computed = "the UDP checksum must be computed over each packet"
    if is_ipv6(config.underlay.local):
        return f"over IPv6 {computed}, unless udp_checksum = false"
    return f"udp_checksum is on: {computed}"


def machine_lacks() -> str | None:
    """What this machine lacks for the kernel's data path; None if nothing is known to."""
    if sys.byteorder != "little":
        return "this machine is big-endian"
    for program in OBJECTS.values():
        if not program.exists():
            return f"{program.name} was not compiled on installation (needs clang, libbpf-dev)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun may not be opened"
    return None


def trial() -> str | None:
    """Why the kernel takes no program here; None if it takes one. Nothing is attached."""
    lacking = machine_lacks()
    if lacking is not None:
        return lacking
    try:
        for program in OBJECTS.values():
            Program(program, {}).close()
    except OSError as error:
        return _words(error)
    return None


def open_fast_path(
    config: Config, options: Options, underlay: Underlay, ports: list[PacketPort]
) -> tuple[FastPath | None, Choice]:
    """The kernel's data path, attached, or None; and the choice in words.

    StartError where `datapath = "ebpf"` was asked for and cannot be.
    """
    lacking = "asked for" if config.datapath == PYTHON else hindrance(config) or machine_lacks()
    if lacking is None:
        try:
            path = _attached(config, options, underlay, ports)
            asked = config.datapath == EBPF
            return path, Choice(EBPF, "asked for" if asked else "the kernel takes the program")
        except OSError as error:
            lacking = _words(error)
    if config.datapath == EBPF:
        raise StartError(f"datapath = 'ebpf': {lacking}")
    detach_leftovers([underlay.index, *(port.index for port in ports)])
    return None, Choice(PYTHON, lacking)


def _attached(
    config: Config, options: Options, underlay: Underlay, ports: list[PacketPort]
) -> FastPath:
    path = FastPath(config, options, underlay, ports)
    try:
        path.attach()
    except OSError:
        path.close()
        raise
    return path


def _words(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return f"{error.strerror}; loading eBPF takes root (CAP_BPF, CAP_NET_ADMIN)"
    if error.errno == errno.EACCES:
        return f"{error.strerror}; the kernel's verifier refuses the program"
    return str(error.strerror or error)
