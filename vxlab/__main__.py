"""`python -m vxlab` is the same program as `vxlab`."""

from vxlab.cli import run

if __name__ == "__main__":
    run()
