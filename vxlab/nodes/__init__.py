"""Mininet's node, switch, link and controller classes as a lab uses them.

They take plain data and start no processes of the lab: its runner starts agents and controller.
Only `plain_mininet` does, for `mn --custom`, which has no runner. Plain `mn` loads this package
with the system's Python: only Mininet and the standard library are available.
"""
