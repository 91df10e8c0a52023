"""The command `vxlab`: starts labs, shows their state, runs the demo, judges VTEPs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `vxlab`. Without Mininet's module `vxlab doctor` still works and says how to install it.

    Any other command then ends with one line and exit status 1.
    """
    try:
        # lazy: it imports Mininet, which may not be installed
        from vxlab.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mininet":
            raise
        _without_mininet()
    else:
        run()


def _without_mininet() -> None:
    # lazy: only needed without Mininet
    from vxlab.cli.doctor import doctor
    from vxlab.setup.installation import install_packages

    if sys.argv[1:2] == ["doctor"]:
        doctor.main(sys.argv[2:], prog_name="vxlab doctor")
    command = install_packages(["mininet"])
    print(f"vxlab: Mininet is not installed; `{command}` installs it", file=sys.stderr)
    sys.exit(1)
