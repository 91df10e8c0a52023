"""Drivers of the tunnel side."""
