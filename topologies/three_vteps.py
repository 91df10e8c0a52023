"""Three hypervisors, one VM each, one VNI: flooding, learning and a link that stays quiet.

 A 10.0.0.1          B 10.0.0.2          C 10.0.0.3
 | VLAN 1            | VLAN 1            | VLAN 1
br1                 br2                 br3            virtual switches (Open vSwitch)
 | trunk             | trunk             | trunk
hv1                 hv2                 hv3            VTEP agents, VLAN 1 <-> VNI 10
 | 192.0.2.11        | 192.0.2.12        | 192.0.2.13
 +--------- s1 ------+-------------------+             underlay (Ryu: L2, IGMP/MLD snooping)
                                                       VNI 10 <-> 239.1.1.10
"""

import sys
from pathlib import Path

# For plain `mn` only, which runs the system's Python and does not set __file__: README.md here.
sys.path.append(str(Path(sys._getframe().f_code.co_filename).resolve().parents[1]))

from vxlab import OverlayTopo, UnderlayController


class ThreeVteps(OverlayTopo):
    """Three hypervisors, one VM each, one VNI: flooding, learning and a link that stays quiet."""

    def lay(self) -> None:
        """VMs A, B and C behind hv1, hv2 and hv3 on switch s1."""
        red = self.segment(vni=10, group="239.1.1.10")
        s1 = self.underlay_switch("s1")
        for number, name in enumerate("ABC", start=1):
            hypervisor = self.hypervisor(f"hv{number}", s1)
            mac = f"02:00:00:00:00:{0x09 + number:02x}"
            self.vm(name, hypervisor, red, f"10.0.0.{number}/24", vlan=1, mac=mac)


topos = {"three_vteps": ThreeVteps}
controllers = {"vxlab": UnderlayController}
