"""`python -m topologies` is the same program as `vxlab`."""

from topologies.cli import main

if __name__ == "__main__":
    main()
