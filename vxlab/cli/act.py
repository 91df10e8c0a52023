"""Commands that act on the nodes and components of a lab: exec, shell, cli, restart, move."""

from __future__ import annotations

import sys

import click

from vxlab.cli import complete
from vxlab.cli.choose import find_alive, lab_argument, lab_option
from vxlab.console import terminal_restored
from vxlab.control import rpc
from vxlab.errors import UsageError
from vxlab.lab.attach import attach
from vxlab.lab.enter import execute
from vxlab.lab.shells import prepared, user_shell


@click.command("exec", context_settings={"allow_interspersed_args": False})
@lab_option
@click.argument("node", shell_complete=complete.nodes)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def exec_(lab: str | None, node: str, command: tuple[str, ...]) -> None:
    """Run a command in a node: exec NODE -- CMD...

    The exit status is that of the command.
    """
    words = list(command[1:] if command[0] == "--" else command)
    if not words:
        raise UsageError("exec: a command must follow --")
    found = find_alive(lab)
    row = found.node(node)
    sys.exit(execute(found.directory, found.init, row["name"], row["kind"], words))


@click.command()
@lab_option
@click.argument("node", shell_complete=complete.nodes)
def shell(lab: str | None, node: str) -> None:
    """Start an interactive shell in a node.

    The shell is $SHELL, else bash. Its prompt names the node and the lab. The exit status is that
    of the shell.
    """
    found = find_alive(lab)
    row = found.node(node)
    ready = prepared(user_shell(), row["name"], found.name, found.directory.path / "shell")
    place = found.directory, found.init, row["name"], row["kind"]
    sys.exit(execute(*place, ready.command, ready.environment, job=True))


@click.command()
@lab_argument
def cli(lab: str | None) -> None:
    """Open the Mininet CLI of a running lab.

    For labs that were started with `up -d`. `exit` or Ctrl-D leaves the CLI, and the lab keeps
    running. In addition to Mininet's commands there are `fdb`, `groups`, `stats` and `events`. One
    terminal at a time can use the CLI of a lab.
    """
    found = find_alive(lab)
    with terminal_restored():
        attach(found.directory.cli_socket)


@click.command()
@lab_option
@click.argument("component", shell_complete=complete.components)
def restart(lab: str | None, component: str) -> None:
    """Restart an agent, the controller or ovs-vswitchd.

    COMPONENT is a hypervisor (its agent is restarted), "controller" or "ovs-vswitchd".
    """
    found = find_alive(lab)
    rpc.ask(found.directory.socket, "restart", part=component)
    print(f"{component} of lab {found.name} runs")


@click.command()
@lab_option
@click.argument("vm", shell_complete=complete.vms)
@click.argument("hypervisor", shell_complete=complete.hypervisors)
def move(lab: str | None, vm: str, hypervisor: str) -> None:
    """Move a VM to another hypervisor.

    Like the end of a live migration: the VM is connected to the new hypervisor, which announces it
    by a gratuitous ARP.
    """
    found = find_alive(lab)
    rpc.ask(found.directory.socket, "move", vm=vm, hypervisor=hypervisor)
    print(f"{vm} is on {hypervisor}")


ACT_COMMANDS: list[click.Command] = [exec_, shell, cli, restart, move]
