"""What the VTEP under test reports about itself, over its control socket.

Only rows that say so use it: everything else is judged by what the VTEP sends.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from vxlab.conformance.verdict import NotObservable
from vxlab.control import rpc
from vxlab.errors import LabError


class ControlClient:
    """Requests to the VTEP's control socket, which it need not have."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to one request; NotObservable if there is no socket or it is refused."""
        try:
            return rpc.ask(self.path, do, **arguments)
        except LabError as error:
            raise NotObservable(f"{do}: {error}") from None

    def remote_of(self, mac: str, vni: int) -> str | None:
        """The remote of a MAC in the VTEP's table, None if the MAC is not there.

        NotObservable if the VTEP does not show its table.
        """
        for row in self.ask("fdb"):
            if (row["vni"], row["mac"]) == (vni, mac):
                return str(row["remote"])
        return None

    def drops(self) -> dict[str, int] | None:
        """The drop counters of all VNIs together; None if the VTEP does not show them."""
        try:
            rows = self.ask("stats")
        except NotObservable:
            return None
        totals: dict[str, int] = {}
        for reason, times in itertools.chain.from_iterable(row["drops"].items() for row in rows):
            totals[reason] = totals.get(reason, 0) + times
        return totals


def risen(before: dict[str, int], after: dict[str, int]) -> str | None:
    """The counters that rose, and by how much, such as "unknown_vni 3"; None if none did."""
    rises = {reason: after[reason] - before.get(reason, 0) for reason in after}
    return ", ".join(f"{reason} {by}" for reason, by in rises.items() if by) or None
