"""Prints the demo: in colour on a terminal, plain in a pipe, nothing with --json."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from vxlab.console import on_terminal, table
from vxlab.demo.roles import Roles
from vxlab.lab.handle import Lab

_NAMED = 6  # VMs in the head line


class Printer:
    """Prints the demo as it runs."""

    def __init__(self, quiet: bool) -> None:
        self._console = Console(highlight=False, soft_wrap=True, quiet=quiet)

    def introduce(self, lab: Lab, roles: Roles) -> None:
        """The VNI, its group and its VMs."""
        vms = ", ".join(
            f"{vm['name']} ({roles.address(vm)}) on {vm['hypervisor']}" for vm in roles.vms[:_NAMED]
        )
        more = f" and {len(roles.vms) - _NAMED} more" if len(roles.vms) > _NAMED else ""
        self._print(f"[bold]VXLAN flood and learn[/] in the lab {lab.state['topology']}")
        self._print(f"VNI {roles.vni} floods to group {roles.group}. VMs: {vms}{more}.")

    def begin(self, number: int, title: str) -> None:
        """A step's title."""
        self._print(f"\n[bold cyan]{number}[/] [bold]{escape(title)}[/]")

    def evidence(self, line: str) -> None:
        """A line of evidence."""
        self._print(f"  [green]✓[/] {escape(line)}" if on_terminal() else f"  {line}")

    def failed(self, number: int, why: str) -> None:
        """What was seen instead of what a step claims."""
        self._print(f"  [bold red]step {number} failed:[/] {escape(why)}")

    def close(self, lab: Lab, results: list[dict[str, Any]], written: str | None) -> None:
        """The learned tables, and the result."""
        answers, _ = lab.ask_agents("fdb")
        columns = ["hypervisor", "vni", "mac", "remote", "port", "kind"]
        rows = [[row[column] for column in columns] for _, found in answers for row in found]
        self._print("\n[bold]The tables of the VTEPs[/]")
        table(columns, rows)
        if written:
            self._print(f"\nThe packets are in {escape(written)}, which Wireshark opens.")
        failed = [result for result in results if not result["ok"]]
        if failed:
            why = escape(failed[0]["untrue"])
            self._print(f"\n[bold red]Step {failed[0]['step']} failed:[/] {why}")
        else:
            self._print("\n[bold green]All eight steps were verified.[/]")

    def _print(self, text: str) -> None:
        self._console.print(text)
