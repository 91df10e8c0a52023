"""The lab of the demo with an additional plain host k4, for a VTEP of the kernel.

hv1 192.0.2.11     hv2 192.0.2.12     hv3 192.0.2.13     k4 192.0.2.14
+------- s1 -------+------------------+------------------+
"""

from topologies.three_vteps import ThreeVteps


class KernelVtep(ThreeVteps):
    """Three hypervisors with agents, and one plain host on the underlay."""

    def lay(self) -> None:
        """The nodes of `three_vteps`, and k4."""
        super().lay()
        self.machine("k4", "s1", "192.0.2.14/24")


topos = {"kernel_vtep": KernelVtep}
