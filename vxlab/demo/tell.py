"""How the scene reads: coloured on a terminal, plain in a pipe, silent for JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from vxlab.console import on_terminal, table
from vxlab.demo.cast import Cast
from vxlab.lab.handle import Lab


class Teller:
    """Prints the scene as it is played."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(highlight=False, soft_wrap=True, quiet=quiet)

    def introduce(self, lab: Lab, cast: Cast) -> None:
        """Who plays where."""
        vms = ", ".join(
            f"{vm['name']} {cast.address(vm)} on {vm['hypervisor']}" for vm in cast.vms[:6]
        )
        more = f" and {len(cast.vms) - 6} more" if len(cast.vms) > 6 else ""
        self._say(f"[bold]VXLAN, flood and learn[/]: {lab.state['topology']}")
        self._say(f"VNI {cast.vni} <-> group {cast.group}; {vms}{more}")

    def begin(self, number: int, title: str) -> None:
        """A step's title."""
        self._say(f"\n[bold cyan]{number}[/] [bold]{escape(title)}[/]")

    def evidence(self, line: str) -> None:
        """A line of proof."""
        self._say(f"  [green]✓[/] {escape(line)}" if on_terminal() else f"  {line}")

    def untrue(self, number: int, why: str) -> None:
        """What contradicts a step."""
        self._say(f"  [bold red]step {number} is not true:[/] {escape(why)}")

    def close(self, lab: Lab, results: list[dict[str, Any]], written: str | None) -> None:
        """The learned tables, and the verdict."""
        answers, _ = lab.ask_agents("fdb")
        columns = ["hypervisor", "vni", "mac", "remote", "port", "kind"]
        rows = [[row[column] for column in columns] for _, found in answers for row in found]
        self._say("\n[bold]The tables the VTEPs learned[/]")
        table(columns, rows)
        if written:
            self._say(f"\nThe packets are in {escape(written)}; Wireshark opens it.")
        failed = [result for result in results if not result["ok"]]
        if failed:
            why = escape(failed[0]["untrue"])
            self._say(f"\n[bold red]Step {failed[0]['step']} is not true:[/] {why}")
        else:
            self._say("\n[bold green]All eight steps were seen to be true.[/]")

    def _say(self, text: str) -> None:
        self._console.print(text)
