"""Benchmarks: all ways are measured in one run and compared. Not part of the tests."""

from vxlab.system.mininet_module import make_importable

make_importable()  # modules here import Mininet before anything of vxlab
