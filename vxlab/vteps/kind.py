"""What the laboratory must know about a kind of VTEP. This module imports nothing of the lab."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VtepKind:
    """One kind of VTEP, as its own module declares it in the variable `KIND`.

    The laboratory runs `python -m MODULE --config FILE.toml` in the hypervisor's network
    namespace. The other attributes say where kinds differ for the laboratory; it never asks for
    a kind by its name.
    """

    name: str  # the VALUE of `--set vtep=VALUE`
    module: str
    summary: str  # a few words for listings

    # Floods to a multicast group. Otherwise its segments get lists of remotes (head-end
    # replication), and so do the same segments on all other hypervisors.
    multicast: bool = True

    # Takes all VLANs on one tagged port. Otherwise each segment gets an untagged port of its own.
    trunk: bool = True

    # Accepts frames with partial checksums, and frames larger than the MTU (TSO), at its ports.
    offloads: bool = True

    # `vtep.forkserver` may fork it instead of starting a process, which saves the imports.
    forkable: bool = False
