"""Topologies: one file each, with a drawing at its head. README.md is their index."""
