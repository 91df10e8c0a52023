"""Two hypervisors of each kind on one switch; traffic between any two kinds, or of one kind.

 a1 b1     a2 b2     a3        a4 b4     a5 b5     a6      an: VNI 10, 10.0.0.n, on all
  |         |         |         |         |         |      bn: VNI 20, 10.0.1.n, where the kind
 hv1       hv2       hv3       hv4       hv5       hv6         supports multicast
 python    linux     ovs       python    linux     ovs
  +---------+--------- s1 ------+---------+---------+      underlay of either family

VNI 10 floods by head-end replication, since Open vSwitch supports nothing else; VNI 20 to a group.
"""

from vxlab.topology.overlay import OverlayTopo
from vxlab.vteps.kinds import KINDS

EVERYWHERE, MULTICAST = 10, 20
SETTINGS = [f"vtep.hv{number}={kind}" for number, kind in enumerate([*KINDS, *KINDS], start=1)]


class EveryKind(OverlayTopo):
    """Two hypervisors of each kind; SETTINGS assigns the kinds."""

    def lay(self) -> None:
        """VM an in VNI 10 behind every hvn, VM bn in VNI 20 behind those that support multicast."""
        everywhere = self.segment(EVERYWHERE, "239.1.1.10")
        multicast = self.segment(MULTICAST, "239.1.1.20")
        s1 = self.underlay_switch("s1")
        for number in range(1, len(SETTINGS) + 1):
            hypervisor = self.hypervisor(f"hv{number}", s1)
            self.vm(f"a{number}", hypervisor, everywhere, f"10.0.0.{number}/24")
            if hypervisor.kind.multicast:
                self.vm(f"b{number}", hypervisor, multicast, f"10.0.1.{number}/24")


topos = {"every_kind": EveryKind}
