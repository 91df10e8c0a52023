"""Figures, side by side with their peers in one run; never part of the tests."""

from vxlab.system.mininet_module import make_importable

make_importable()  # modules here import Mininet before anything of vxlab
