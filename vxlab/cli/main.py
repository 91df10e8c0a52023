"""The command `vxlab`: its commands, and how errors become exit statuses and one line."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn

import click

from vxlab.cli.act import ACT_COMMANDS
from vxlab.cli.change import CHANGE_COMMANDS
from vxlab.cli.completion import completion, register
from vxlab.cli.doctor import doctor
from vxlab.cli.judge import JUDGE_COMMANDS
from vxlab.cli.look import LOOK_COMMANDS
from vxlab.cli.manage import MANAGE_COMMANDS
from vxlab.cli.watch import WATCH_COMMANDS
from vxlab.errors import LabError, UsageError

# Errors of standard output that are the user's to fix, such as a full disk.
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_INTERRUPTED = 130  # as shells count Ctrl-C


class _ReaderLeft(Exception):
    """The reader of a pipe has closed it."""


class _Group(click.Group):
    """Keeps click from turning a closed pipe into exit status 1."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line, which may print help; _ReaderLeft as for `invoke`."""
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError as error:
            raise _ReaderLeft from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; _ReaderLeft if the reader of its output has left."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderLeft from error


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vxlab")
def vxlab() -> None:
    """Run a VXLAN laboratory on one Linux machine.

    Exit status: 0 done and true, 1 ran and the answer is no, 2 usage or configuration error.

    Commands that need a lab use --lab LAB, else $VXLAB_LAB, else the only lab. Every
    option has an environment variable, VXLAB_COMMAND_OPTION; the option overrides it.
    """


for command in (
    *MANAGE_COMMANDS,
    *LOOK_COMMANDS,
    *ACT_COMMANDS,
    *CHANGE_COMMANDS,
    *WATCH_COMMANDS,
    *JUDGE_COMMANDS,
    completion,
    doctor,
):
    vxlab.add_command(command)


def main() -> None:
    """Run `vxlab`; a user's mistake is one line on stderr, never a traceback."""
    register()
    try:
        status = _status()
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS:
            raise
        _discard_output()
        _fail(f"standard output: {error.strerror}", 1)
    except (_ReaderLeft, BrokenPipeError):
        _discard_output()
        status = 0
    sys.exit(status)


def _status() -> int:
    """Run the command, and write out all it printed; returns the exit status."""
    try:
        status = _run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(bool(end.code))
    sys.stdout.flush()  # here, so that a full disk is reported as an error of the command
    return status


def _run() -> int:
    try:
        done = vxlab.main(auto_envvar_prefix="VXLAB", prog_name="vxlab", standalone_mode=False)
        return done if isinstance(done, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.UsageError as error:
        words = error.ctx.command_path.split() if error.ctx else ["vxlab"]
        command = " ".join(words)  # `link NODE NODE` has an empty word
        message = " ".join(error.format_message().split())  # it may have line breaks
        _fail(f"{message} See `{command} --help`.", error.exit_code)
    except click.ClickException as error:
        _fail(" ".join(error.format_message().split()), error.exit_code)  # it may have line breaks
    except UsageError as error:
        _fail(error, 2)
    except LabError as error:
        _fail(error, 1)


def _discard_output() -> None:
    """Send what is still buffered to nowhere, or Python would report the error again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: object, status: int) -> NoReturn:
    print(f"vxlab: {error}", file=sys.stderr)
    sys.exit(status)
