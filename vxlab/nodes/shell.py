"""Commands in Mininet nodes: the only caller of Mininet's cmd(), which drops the exit status."""

from __future__ import annotations

from mininet.node import Node

from vxlab.errors import LabError


def run(node: Node, purpose: str, command: str) -> str:
    """Run a shell command in a node and return its output.

    purpose: completes "cannot ..." in the LabError that is raised when the command fails. The
    command itself is an implementation detail and is not shown.
    """
    output: str = node.cmd(command + " ; echo $?")
    text, _, status = output.rstrip().rpartition("\n")
    if status.strip() != "0":
        reason = " ".join((text or output).split()) or "no output"
        raise LabError(f"{node.name}: cannot {purpose}: {reason}")
    return text
