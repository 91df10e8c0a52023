"""Up to 240 hypervisors, 100 VMs on each, over one switch or a tree of switches.

 vm1 .. vmM       vmM+1 ..                           VMs in 10.0.0.0/16, VNIs 100.. in turn
 |  |  |          |  |  |
br1              br2            ...  brN
hv1 192.0.2.11   hv2 192.0.2.12 ...  hvN             VTEP agents
 |                |                   |
 s2               s3         ...     s2              leaf switches, hypervisors in turn
 +------- s1 -----+                                  root switch; the only one if switches=1
"""

import sys
from pathlib import Path

# For plain `mn` only, which runs the system's Python and does not set __file__: README.md here.
sys.path.append(str(Path(sys._getframe().f_code.co_filename).resolve().parents[1]))

from vxlab import LAST_HYPERVISOR, Option, OverlayTopo, UnderlayController, whole


class ManyVteps(OverlayTopo):
    """Up to 240 hypervisors, 100 VMs on each, over one switch or a tree of switches."""

    options = (
        Option("vteps", whole(2, LAST_HYPERVISOR), 4, "hypervisors"),
        Option("vms", whole(1, 100), 2, "VMs on each hypervisor"),
        Option("vnis", whole(1, 200), 1, "VNIs, assigned to the VMs in turn"),
        Option("switches", whole(1, 64), 1, "underlay switches: a root and leaves"),
    )

    def lay(self) -> None:
        """Hypervisors hv1.., VMs vm1.. in VNIs 100.., switches s1 (root), s2.. (leaves)."""
        count = self.settings["vnis"]
        segments = [self.segment(100 + n, f"239.1.2.{n + 1}") for n in range(count)]
        root = self.underlay_switch("s1")
        leaves = [
            self.underlay_switch(f"s{n}", root) for n in range(2, self.settings["switches"] + 1)
        ]
        leaves = leaves or [root]
        number = 0
        for n in range(self.settings["vteps"]):
            hypervisor = self.hypervisor(f"hv{n + 1}", leaves[n % len(leaves)])
            for _ in range(self.settings["vms"]):
                ip = f"10.0.{(number + 1) // 250}.{(number + 1) % 250 + 1}/16"
                self.vm(f"vm{number + 1}", hypervisor, segments[number % count], ip)
                number += 1


topos = {"many_vteps": ManyVteps}
controllers = {"vxlab": UnderlayController}
