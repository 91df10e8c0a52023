"""Topologies for Mininet, one file each, and `vxlab`, the tool that brings them to life."""
