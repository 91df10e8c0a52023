"""Underlay controller: L2 learning and IGMP snooping over OpenFlow 1.3; never imports `vtep`."""
