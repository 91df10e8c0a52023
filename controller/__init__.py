"""Controller of the underlay switches: L2 learning, IGMP and MLD snooping over OpenFlow 1.3.

The package imports neither `vtep` nor the laboratory, so it can run alone: `python -m controller`.
"""
