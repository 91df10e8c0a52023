"""The command `vxlab` and its way with errors: exit 1 for "no", 2 for "cannot be asked so"."""

from __future__ import annotations

import os
import sys

import click

from vxlab.cli.doctor import doctor
from vxlab.cli.judge import JUDGE_COMMANDS
from vxlab.cli.look import LOOK_COMMANDS
from vxlab.cli.manage import MANAGE_COMMANDS
from vxlab.cli.watch import WATCH_COMMANDS
from vxlab.errors import LabError, UsageError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vxlab")
def vxlab() -> None:
    """A VXLAN laboratory on one Linux machine.

    Exit status: 0 done and true, 1 ran and the answer is no, 2 usage or configuration error.
    Every flag has an environment variable, VXLAB_COMMAND_FLAG; the flag wins.
    """


for command in MANAGE_COMMANDS + LOOK_COMMANDS + WATCH_COMMANDS + JUDGE_COMMANDS + [doctor]:
    vxlab.add_command(command)


def main() -> None:
    """Run `vxlab`; an operator's mistake is one line on stderr, never a traceback."""
    try:
        status = vxlab.main(auto_envvar_prefix="VXLAB", prog_name="vxlab", standalone_mode=False)
        sys.exit(status)
    except click.Abort:
        sys.exit(130)  # Ctrl-C, as shells count it
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except UsageError as error:
        _fail(error, 2)
    except LabError as error:
        _fail(error, 1)
    except BrokenPipeError:
        # The reader of our pipe has left; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(error: object, status: int) -> None:
    print(f"vxlab: {error}", file=sys.stderr)
    sys.exit(status)
