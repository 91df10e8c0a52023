"""`python -m vtep --config FILE.toml`: run one agent on this host."""

from __future__ import annotations

import argparse
import os
import sys

from vtep.config import DATA_PATHS
from vtep.launch import launch


def main() -> int:
    """Parse the command line and run the agent; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vtep", description="A VXLAN tunnel end point.")
    default = os.environ.get("VXLAB_VTEP_CONFIG")
    parser.add_argument(
        "--config",
        metavar="FILE.toml",
        default=default,
        required=default is None,
        help="configuration file (see vtep/config.py) [$VXLAB_VTEP_CONFIG]",
    )
    parser.add_argument(
        "--datapath",
        choices=DATA_PATHS,
        default=os.environ.get("VXLAB_DATAPATH"),
        help="data path; overrides the file's `datapath` [$VXLAB_DATAPATH]",
    )
    given = parser.parse_args()
    return launch(given.config, given.datapath)


if __name__ == "__main__":
    sys.exit(main())
