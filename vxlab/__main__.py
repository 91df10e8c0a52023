"""`python -m vxlab` is the same program as `vxlab`."""

from vxlab.cli import main

if __name__ == "__main__":
    main()
