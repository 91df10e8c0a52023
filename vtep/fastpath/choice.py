"""Choose the data path of an agent: eBPF if configuration and machine allow it, else Python."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vtep.config import Config
from vtep.errors import StartError
from vtep.fastpath.libbpf import Program, Rejected, detach_leftovers
from vtep.fastpath.path import OBJECTS, FastPath
from vtep.options import Options
from vtep.ports.packet import PacketPort
from vtep.underlay.base import Underlay
from vtep.wire import is_ipv6

AUTO, EBPF, PYTHON = "auto", "ebpf", "python"


class Choice(NamedTuple):
    """The data path that runs, and the reason in one line."""

    name: str
    why: str


def hindrance(config: Config) -> str | None:
    """Why a configuration needs the Python data path; None if eBPF can serve it."""
    if not config.underlay.udp_checksum:
        return None
    computed = "the UDP checksum must be computed over each packet"
    if is_ipv6(config.underlay.local):
        return f"over IPv6 {computed}, unless udp_checksum = false"
    return f"udp_checksum is on: {computed}"


def machine_lacks() -> str | None:
    """What this machine lacks for eBPF, as far as can be known without loading; None if nothing."""
    if sys.byteorder != "little":
        return "this machine is big-endian"
    for program in OBJECTS.values():
        if not program.exists():
            return f"{program.name} is not built: `make setup` builds it, with clang"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "no permission to open /dev/net/tun"
    return None


def trial(objects: Iterable[Path] = OBJECTS.values()) -> list[str]:
    """Load the programs and unload them again, without attaching them anywhere.

    Returns an empty list if the kernel accepts all of them; else the reason in one line, followed
    by the end of the verifier's log if the verifier rejected a program.
    """
    lacking = machine_lacks()
    if lacking is not None:
        return [lacking]
    try:
        for program in objects:
            Program(program, {}).close()
    except OSError as error:
        return [_words(error), *_verifier_log(error)]
    return []


def open_fast_path(
    config: Config, options: Options, underlay: Underlay, ports: list[PacketPort]
) -> tuple[FastPath | None, Choice]:
    """The eBPF data path, attached, or None for the Python one; and the choice with its reason.

    The end of the verifier's log, if there is one, goes to the agent's log (standard error).
    Raises StartError if the configuration has `datapath = "ebpf"` and eBPF cannot run.
    """
    lacking = "asked for" if config.data_path == PYTHON else hindrance(config) or machine_lacks()
    if lacking is None:
        try:
            path = _attached(config, options, underlay, ports)
            asked = config.data_path == EBPF
            return path, Choice(EBPF, "asked for" if asked else "the kernel takes the program")
        except OSError as error:
            lacking = _words(error)
            for line in _verifier_log(error):
                print(f"vtep: {config.name}: verifier: {line}", file=sys.stderr, flush=True)
    if config.data_path == EBPF:
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


def _verifier_log(error: OSError) -> tuple[str, ...]:
    return error.log if isinstance(error, Rejected) else ()


def _words(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return f"{error.strerror}; loading eBPF needs root (CAP_BPF and CAP_NET_ADMIN)"
    return str(error.strerror or error)
