"""Commands that change links and VTEPs of a running lab: link, vni, static, flush."""

from __future__ import annotations

import sys
from typing import Any

import click

from vtep.constants import LAST_VLAN, LAST_VNI
from vxlab.cli import complete
from vxlab.cli.choose import announce_dead, find_alive, json_option, lab_group, lab_option
from vxlab.console import as_json, table
from vxlab.control import rpc
from vxlab.errors import UsageError
from vxlab.lab.handle import Lab
from vxlab.topology.options import GROUP, MAC, checked

_VNI = click.IntRange(0, LAST_VNI)
_SET_STATE = "NODE NODE up|down"  # how the help of `link` lists the command without a name


class _LinkGroup(click.Group):
    """`link show` and others by name; anything else is `link NODE NODE up|down`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of this name, else the one that sets a link's state."""
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "", self.commands[_SET_STATE], args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Commands, and nodes."""
        named = [item for item in super().shell_complete(ctx, incomplete) if " " not in item.value]
        return [*named, *complete.nodes(ctx, self.params[0], incomplete)]


link = lab_group("link", "Set links up or down, or show them.", _LinkGroup)


@link.command(_SET_STATE)
@lab_option
@click.argument("one", metavar="NODE", shell_complete=complete.nodes)
@click.argument("other", metavar="NODE", shell_complete=complete.linked)
@click.argument("state", metavar="up|down", type=click.Choice(["up", "down"]))
def link_set(lab: str | None, one: str, other: str, state: str) -> None:
    """Set all links between two nodes up or down.

    Down sets both ends down, as Mininet does. Up also restores routes, permanent neighbour entries
    and IPv6 addresses that the kernel removed when the link went down.
    """
    found = find_alive(lab)
    found.node(one)
    found.node(other)
    rows = rpc.ask(found.directory.socket, "link_set", one=one, other=other, state=state)
    for row in rows:
        print(f"{row['node1']} {row['node2']} is {row['state']}")


@link.command("show")
@lab_option
@json_option
def link_show(lab: str | None, json_: bool) -> None:
    """Show all links with their state.

    A link is up while both of its ends are up.
    """
    rows = rpc.ask(find_alive(lab).directory.socket, "link_show")
    if json_:
        as_json(rows)
        return
    columns = ["node1", "interface1", "node2", "interface2", "state"]
    table(columns, [[row[column] for column in columns] for row in rows])


vni = lab_group("vni", "Add or remove a VNI of a running VTEP.")


@vni.command("add")
@lab_option
@click.argument("hypervisor", shell_complete=complete.hypervisors)
@click.argument("vni", type=_VNI, shell_complete=complete.vnis)
@click.option("--group", metavar="ADDRESS", help="Multicast group that floods go to.")
@click.option(
    "--remote",
    "remotes",
    multiple=True,
    metavar="REMOTE",
    shell_complete=complete.remotes,
    help="VTEP that floods go to (address or hypervisor); may be repeated.",
)
@click.option("--vlan", type=click.IntRange(1, LAST_VLAN), help="VLAN; default: the next free.")
@click.option(
    "--inner-tags",
    type=click.Choice(["strip", "carry"]),
    help="What happens to 802.1Q tags of the VMs; default: strip.",
)
@click.option("--suppress-arp", is_flag=True, help="Answer ARP for remote VMs.")
def vni_add(
    lab: str | None,
    hypervisor: str,
    vni: int,
    group: str | None,
    remotes: tuple[str, ...],
    vlan: int | None,
    inner_tags: str | None,
    suppress_arp: bool,
) -> None:
    """Add a VNI to the VTEP of a hypervisor.

    Without --group and --remote the VTEP floods as the lab's other VTEPs with this VNI do; a VNI
    that is new in the lab needs one of them. With --remote, other VTEPs do not flood to this one
    unless they are configured to. The command returns when the underlay has snooped the group. A
    restarted agent keeps the VNI.
    """
    if group is not None:
        group = checked("--group", group, GROUP)
    given = {"group": group, "vlan": vlan, "inner_tags": inner_tags}
    arguments: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    if suppress_arp:
        arguments["suppress_arp"] = True
    found = _with_hypervisor(lab, hypervisor)
    done = rpc.ask(
        found.directory.socket,
        "vni_add",
        hypervisor=hypervisor,
        vni=vni,
        remotes=list(remotes),
        **arguments,
    )
    print(f"VNI {vni} is on {hypervisor}, VLAN {done['vlan']}")


@vni.command("del")
@lab_option
@click.argument("hypervisor", shell_complete=complete.hypervisors)
@click.argument("vni", type=_VNI, shell_complete=complete.vnis)
def vni_del(lab: str | None, hypervisor: str, vni: int) -> None:
    """Remove a VNI from the VTEP of a hypervisor."""
    found = _with_hypervisor(lab, hypervisor)
    done = rpc.ask(found.directory.socket, "vni_del", hypervisor=hypervisor, vni=vni)
    print(f"VNI {vni} is no longer on {hypervisor}")
    if done["vms"]:
        print(f"vxlab: without a network now: {', '.join(done['vms'])}", file=sys.stderr)


static = lab_group("static", "Add or remove a static entry of a VTEP.")


@static.command("add")
@lab_option
@click.argument("hypervisor", shell_complete=complete.hypervisors)
@click.argument("vni", type=_VNI, shell_complete=complete.vnis)
@click.argument("mac", shell_complete=complete.macs)
@click.argument("remote", shell_complete=complete.remotes)
@click.option("--add", is_flag=True, help="Add a remote to an existing static entry.")
def static_add(
    lab: str | None, hypervisor: str, vni: int, mac: str, remote: str, add: bool
) -> None:
    """Configure statically which remote VTEP has a MAC.

    REMOTE is the address of a VTEP or the name of its hypervisor. VM traffic does not change a
    static entry, and a restarted agent keeps it.
    """
    mac = checked("MAC", mac, MAC)
    found = _with_hypervisor(lab, hypervisor)
    where = {"hypervisor": hypervisor, "vni": vni, "mac": mac, "remote": remote}
    done = rpc.ask(found.directory.socket, "static_add", **where, add=add)
    print(f"{hypervisor}: {mac} in VNI {vni} is static at {done['remote']}")


@static.command("del")
@lab_option
@click.argument("hypervisor", shell_complete=complete.hypervisors)
@click.argument("vni", type=_VNI, shell_complete=complete.vnis)
@click.argument("mac", shell_complete=complete.macs)
@click.argument("remote", required=False, shell_complete=complete.remotes)
def static_del(lab: str | None, hypervisor: str, vni: int, mac: str, remote: str | None) -> None:
    """Remove the static entry of a MAC.

    With REMOTE the command fails if the entry names another VTEP.
    """
    mac = checked("MAC", mac, MAC)
    found = _with_hypervisor(lab, hypervisor)
    where = {"hypervisor": hypervisor, "vni": vni, "mac": mac, "remote": remote}
    rpc.ask(found.directory.socket, "static_del", **where)
    print(f"{hypervisor}: {mac} in VNI {vni} is no longer static")


def _with_hypervisor(lab: str | None, hypervisor: str) -> Lab:
    """The chosen lab; UsageError names its hypervisors if this is none of them."""
    found = find_alive(lab)
    found.hypervisors(hypervisor)
    return found


@click.command()
@lab_option
@click.argument("hypervisor", required=False, shell_complete=complete.hypervisors)
@click.option("--vni", type=_VNI, shell_complete=complete.vnis, help="Entries of this VNI.")
@click.option("--mac", metavar="MAC", shell_complete=complete.macs, help="Entries of this MAC.")
@json_option
def flush(
    lab: str | None, hypervisor: str | None, vni: int | None, mac: str | None, json_: bool
) -> None:
    """Remove learned entries from one VTEP or all."""
    if mac is not None:
        mac = checked("--mac", mac, MAC)
    found = find_alive(lab)
    chosen = _flushed(found, hypervisor, vni)
    arguments = {key: value for key, value in (("vni", vni), ("mac", mac)) if value is not None}
    rows, dead = [], False
    for name in chosen:
        answers, silent = found.ask_agents("flush", name, **arguments)
        rows += [{"hypervisor": name, "removed": done["removed"]} for _, done in answers]
        dead = dead or bool(silent)
    if json_:
        as_json(rows)
    else:
        table(["hypervisor", "removed"], [[row["hypervisor"], row["removed"]] for row in rows])
    sys.exit(announce_dead(found) if dead else False)


def _flushed(lab: Lab, hypervisor: str | None, vni: int | None) -> list[str]:
    """The hypervisors that are asked: one, or all; of all those with the VNI, if one is given."""
    names = lab.hypervisors(hypervisor)
    if vni is None or hypervisor is not None:
        return names
    having = [row["name"] for row in lab.nodes("hypervisor") if vni in row["vnis"]]
    if not having:
        known = sorted({vni for row in lab.nodes("hypervisor") for vni in row["vnis"]})
        raise UsageError(f"--vni {vni}: no VTEP has it; VNIs: {', '.join(map(str, known))}")
    return having


CHANGE_COMMANDS: list[click.Command] = [link, vni, static, flush]
