"""The demo: flood and learn in eight steps, each verified by packets, tables and counters.

roles.py chooses the VMs and VTEPs that take part, evidence.py acts in the lab and observes it,
steps.py verifies the steps, printing.py prints them, run.py is the whole.
"""
