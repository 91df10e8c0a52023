"""`vxlab`, the tool: brings labs up and down, looks into them, plays the scene."""

from vxlab.cli.main import main

__all__ = ["main"]
