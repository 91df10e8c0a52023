"""Topologies: one file each, a drawing at its head."""
