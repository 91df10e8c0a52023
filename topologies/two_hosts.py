"""Two hosts, two routers, a VXLAN with dynamic multicast: part 2 of BADASS (school 42).

 host_1 30.1.1.1     host_2 30.1.1.2
 | VLAN 1            | VLAN 1
br1                 br2                 virtual switches (Open vSwitch)
 | trunk             | trunk
router_1            router_2            VTEP agents, VLAN 1 <-> VNI 10
 | 192.0.2.11        | 192.0.2.12
 +--------- s1 ------+                  underlay (Ryu: L2, IGMP/MLD snooping)
                                        VNI 10 <-> 239.1.1.1
"""

import sys
from pathlib import Path

# For plain `mn` only, which runs the system's Python and does not set __file__: README.md here.
sys.path.append(str(Path(sys._getframe().f_code.co_filename).resolve().parents[1]))

from vxlab import OverlayTopo, UnderlayController


class TwoHosts(OverlayTopo):
    """Two hosts, two routers, a VXLAN with dynamic multicast: part 2 of BADASS (school 42)."""

    def lay(self) -> None:
        """Host host_n behind VTEP router_n on switch s1."""
        vxlan10 = self.segment(vni=10, group="239.1.1.1")
        s1 = self.underlay_switch("s1")
        for number in (1, 2):
            router = self.hypervisor(f"router_{number}", s1)
            self.vm(f"host_{number}", router, vxlan10, f"30.1.1.{number}/24", vlan=1)


topos = {"two_hosts": TwoHosts}
controllers = {"vxlab": UnderlayController}
