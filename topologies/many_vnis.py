"""Thousands of VNIs on three VTEPs: more than 802.1Q has VLANs, on few multicast groups.

      L1 M1 H1            L2 M2 H2            L3 M3 H3      L: VNI 1, M: 4096, H: 16777215
      |                   |                   |
     br1, br1x1          br2, br2x1          br3, br3x1     4094 VLANs per trunk, so two trunks
      | |                 | |                 | |
     hv1 192.0.2.11      hv2 192.0.2.12      hv3 192.0.2.13
      +--------- s1 ------+-------------------+             underlay (Ryu)

The other VNIs have no VM; the VTEPs join their groups nevertheless.
"""

import sys
from pathlib import Path

# For plain `mn` only, which runs the system's Python and does not set __file__: README.md here.
sys.path.append(str(Path(sys._getframe().f_code.co_filename).resolve().parents[1]))

from vtep.constants import LAST_VNI
from vxlab import Option, OverlayTopo, UnderlayController, whole

# VNIs with VMs: both ends of the 24-bit range, and one that is no VLAN id.
INHABITED = {"L": 1, "M": 4096, "H": LAST_VNI}


class ManyVnis(OverlayTopo):
    """Thousands of VNIs on three VTEPs: more than 802.1Q has VLANs, on few multicast groups."""

    options = (
        Option("vnis", whole(3, 12_000), 5000, "VNIs on every VTEP"),
        Option("groups", whole(1, 200), 50, "multicast groups that the VNIs share"),
    )

    def lay(self) -> None:
        """VMs Ln, Mn and Hn in VNIs 1, 4096 and 16777215 behind hvn; the others between."""
        count, groups = self.settings["vnis"], self.settings["groups"]
        spread = (1 + n * (LAST_VNI // count) for n in range(1, count))
        vnis = [*INHABITED.values(), *(vni for vni in spread if vni not in INHABITED.values())]
        segments = [
            self.segment(v, f"239.1.3.{n % groups + 1}") for n, v in enumerate(vnis[:count])
        ]
        s1 = self.underlay_switch("s1")
        for number in (1, 2, 3):
            hypervisor = self.hypervisor(f"hv{number}", s1)
            for segment in reversed(segments):  # those with VMs last, on the second trunk
                self.attach(hypervisor, segment)
            for place, (letter, vni) in enumerate(INHABITED.items()):
                ip = f"10.{place}.0.{number}/24"
                self.vm(f"{letter}{number}", hypervisor, self.segments[vni], ip)


topos = {"many_vnis": ManyVnis}
controllers = {"vxlab": UnderlayController}
