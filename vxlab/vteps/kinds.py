"""The kinds of VTEP a hypervisor may have.

A kind is a command, run inside the hypervisor's network namespace as `COMMAND --config FILE.toml`.
It reads the file that `python -m vtep` reads, serves the control socket the file names (`ready`,
`fdb`, `groups`, `stats`, `stop`, ...), and takes away what it made when it ends. To add a kind,
write such a command (`service.py` does the socket) and give it a row here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VtepKind:
    """One kind, and what the lab must know of it."""

    name: str
    module: str
    summary: str
    multicast: bool = True  # floods to a group; else head-end replication to a list
    trunk: bool = True  # takes all VLANs on one tagged port; else a port for each segment
    offloads: bool = True  # bears partial checksums and super-frames at its trunk


KINDS = {
    kind.name: kind
    for kind in (
        VtepKind("python", "vtep", "this project's agent"),
        VtepKind("linux", "vxlab.vteps.linux", "the kernel's vxlan device", trunk=False),
        VtepKind(
            "ovs",
            "vxlab.vteps.ovs",
            "an Open vSwitch vxlan port",
            multicast=False,
            offloads=False,
        ),
    )
}
