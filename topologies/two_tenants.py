"""Two tenants on three hypervisors: both use the same MACs and IPs, and stay isolated.

      R1 R2 10.0.0.1-2      R3 10.0.0.3           R4 10.0.0.4        red:  VNI 5010
      B1 B2 10.0.0.1-2      B3 10.0.0.3           B4 10.0.0.4        blue: VNI 5020
      | red 10, blue 20     | red 20, blue 10     | red 300, blue 7  VLANs, mapped differently
     br1                   br2                   br3
      | trunk               | trunk               | trunk
     hv1 192.0.2.11        hv2 192.0.2.12        hv3 192.0.2.13      VTEP agents
      +---------- s1 --------+---------------------+                 underlay (Ryu)

VNI 5010 <-> 239.1.1.10, VNI 5020 <-> 239.1.1.20. Rn and Bn have the same MAC and the same IP.
"""

import sys
from pathlib import Path

# For plain `mn` only, which runs the system's Python and does not set __file__: README.md here.
sys.path.append(str(Path(sys._getframe().f_code.co_filename).resolve().parents[1]))

from vxlab import OverlayTopo, UnderlayController

VLANS = {"hv1": (10, 20), "hv2": (20, 10), "hv3": (300, 7)}  # (red, blue)
PLACES = ("hv1", "hv1", "hv2", "hv3")  # the hypervisors of VMs 1 to 4


class TwoTenants(OverlayTopo):
    """Two tenants on three hypervisors: both use the same MACs and IPs, and stay isolated."""

    def lay(self) -> None:
        """VMs R1-R4 and B1-B4; R1, R2, B1 and B2 share hypervisor hv1."""
        red = self.segment(vni=5010, group="239.1.1.10")
        blue = self.segment(vni=5020, group="239.1.1.20")
        s1 = self.underlay_switch("s1")
        hypervisors = {name: self.hypervisor(name, s1) for name in VLANS}
        for number, place in enumerate(PLACES, start=1):
            for tenant, segment, vlan in zip("RB", (red, blue), VLANS[place], strict=True):
                ip = f"10.0.0.{number}/24"
                self.vm(f"{tenant}{number}", hypervisors[place], segment, ip, vlan=vlan)


topos = {"two_tenants": TwoTenants}
controllers = {"vxlab": UnderlayController}
