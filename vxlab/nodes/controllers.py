"""The controller as Mininet knows it: an address for the switches, without a process."""

from __future__ import annotations

from typing import Any

from mininet.node import Controller, Node

CONTROLLER_PORT = 6653  # OpenFlow's IANA port


class ExternalController(Controller):
    """The address of a controller whose process Mininet neither starts nor ends."""

    def __init__(self, name: str, **params: Any) -> None:
        params.pop("command", None)
        super().__init__(name, port=CONTROLLER_PORT, **params)

    def checkListening(self) -> None:  # the name is Mininet's
        """Do nothing: Mininet would run telnet to see whether the port is free."""

    def start(self) -> None:
        """Do nothing: the process runs already."""

    def stop(self, *_args: Any, **_params: Any) -> None:
        """End this node, which has no process of the controller."""
        Node.stop(self)
