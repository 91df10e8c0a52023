"""The command `vxlab`: starts labs, shows their state, runs the demo, judges VTEPs."""

from __future__ import annotations

import os
import sys


def run() -> None:
    """Run `vxlab`. Without Mininet's module `vxlab doctor` still works and says how to install it.

    Any other command then ends with one line and exit status 1.
    """
    _open_closed_streams()
    try:
        # lazy: it imports Mininet, which may not be installed
        from vxlab.cli.main import main
    except KeyboardInterrupt:  # the import takes a while, and Ctrl-C may come first
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mininet":
            raise
        _without_mininet()
    else:
        main()


def _open_closed_streams() -> None:
    """Put /dev/null where a standard stream is closed (`>&-`).

    Python has None for such a stream, and the next file or socket would take its number.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            os.set_inheritable(number, True)
            if opened != number:
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode))


def _without_mininet() -> None:
    # lazy: only needed without Mininet
    from vxlab.cli.doctor import doctor
    from vxlab.setup.installation import install_packages

    if sys.argv[1:2] == ["doctor"]:
        doctor.main(sys.argv[2:], prog_name="vxlab doctor")
    command = install_packages(["mininet"])
    print(f"vxlab: Mininet is not installed; `{command}` installs it", file=sys.stderr)
    sys.exit(1)
