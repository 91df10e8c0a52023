"""Drivers of the VM side."""
