"""VTEP kinds, one file each. docs/guides/vtep-kinds.md shows how to add one."""
