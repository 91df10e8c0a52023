"""The base class of VTEP kinds: reads the configuration, serves the control socket, ends in order.

Topologies import the module of every kind, also under the system's Python (plain `mn --custom`).
A kind therefore imports what is slow or not installed everywhere inside its functions.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from vtep.constants import (
    DEFAULT_AGEING_S,
    DEFAULT_MAC_LIMIT,
    DEFAULT_TTL,
    FIRST_SOURCE_PORT,
    LAST_SOURCE_PORT,
    VXLAN_PORT,
)
from vxlab.control.server import serve
from vxlab.errors import LabError, UsageError
from vxlab.vteps.kind import VtepKind

Row = dict[str, Any]

# Requests that only the project's own agent supports, and what they would do.
_NOT_SUPPORTED = {
    "events": "report its decisions",
    "vni_add": "add a VNI while it runs",
    "vni_del": "remove a VNI while it runs",
    "static_add": "add a static entry while it runs",
    "static_del": "remove a static entry while it runs",
}


class VtepService(ABC):
    """One VTEP of another kind than `python`. It reads the same configuration file.

    `vtep/config.py` describes the file. Attributes with a default below are those of the file, or
    the project's default where the file does not set them.
    """

    kind: ClassVar[VtepKind]

    # Options of the file that this kind cannot honour, such as "fdb.limit", and "static.several"
    # for static entries with several remotes. The conformance suite skips rows that need them.
    unsupported: tuple[str, ...] = ()

    def __init__(self, config: Row) -> None:
        """config: the parsed file. KeyError names a key that is missing."""
        self.config = config
        self.name: str = config["name"]
        self.underlay: Row = config["underlay"]
        self.segments: list[Row] = config.get("segment", [])
        fdb: Row = config.get("fdb", {})
        self.ageing_s: int = fdb.get("ageing_s", DEFAULT_AGEING_S)
        self.mac_limit: int = fdb.get("limit", DEFAULT_MAC_LIMIT)
        self.udp_port: int = self.underlay.get("port", VXLAN_PORT)
        self.ttl: int | str = self.underlay.get("ttl", DEFAULT_TTL)
        self.tos: int | str = self.underlay.get("tos", 0)
        self.source_ports: list[int] = self.underlay.get(
            "source_ports", [FIRST_SOURCE_PORT, LAST_SOURCE_PORT]
        )
        self._ended = threading.Event()

    @property
    def checksums(self) -> bool:
        """Whether outer UDP checksums are sent. The default is the agent's: over IPv6 only.

        RFC 7348 section 5 recommends zero; over IPv6, zero needs an agreement (RFC 6936).
        """
        return bool(self.underlay.get("udp_checksum", ":" in self.underlay["local"]))

    @abstractmethod
    def start(self) -> None:
        """Make the VTEP. Raises LabError with the reason if the machine does not allow it."""

    @abstractmethod
    def end(self) -> None:
        """Remove what `start` made."""

    @abstractmethod
    def fdb(self) -> list[Row]:
        """The forwarding table, in the shape of `vxlab fdb --json`."""

    @abstractmethod
    def groups(self) -> list[Row]:
        """For each VNI with a group: {"vni", "group", "joined"}; joined is the kernel's state."""

    @abstractmethod
    def stats(self) -> list[Row]:
        """Counters, in the shape of `vxlab stats --json`; None for what the kind does not count."""

    def flush(self) -> Row:
        """Remove learned entries; returns {"removed": number}."""
        raise LabError(f"flush: a VTEP of kind {self.kind.name} cannot remove learned entries")

    def ready(self) -> Row:
        """Report that the VTEP runs. The keys are those of the agent's answer."""
        return {
            "name": self.name,
            "ready": True,
            "vnis": len(self.segments),
            "pid": os.getpid(),
            "datapath": self.kind.name,
            "datapath_why": "its kind",
            "unsupported": list(self.unsupported),
        }

    def stop(self) -> Row:
        """End soon."""
        self._ended.set()
        return {}

    def _requests(self) -> dict[str, Callable[..., Any]]:
        """Request of the control socket -> the method that answers it."""
        known = ("ready", "fdb", "groups", "stats", "flush", "stop")
        table: dict[str, Callable[..., Any]] = {word: getattr(self, word) for word in known}
        for word in _NOT_SUPPORTED:
            table[word] = getattr(self, word, None) or self._refusal(word)
        return table

    def _refusal(self, word: str) -> Callable[..., Any]:
        def refuse(**_arguments: Any) -> Any:
            text = f"{word}: a VTEP of kind {self.kind.name} cannot {_NOT_SUPPORTED[word]}"
            raise LabError(text)

        return refuse

    def run(self) -> None:
        """Serve the control socket until SIGTERM, SIGINT or the request `stop`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ended.set())
        self.start()
        control = Path(self.config["control"])
        serve(control, self._requests())
        self._ended.wait()
        self.end()
        control.unlink(missing_ok=True)  # last: a restart waits until the socket is gone


def main(service_class: type[VtepService]) -> None:
    """The command of a kind, `--config FILE.toml`.

    Exit status 1 if the machine does not allow the VTEP, 2 if the file is wrong; the reason is the
    last line on stderr.
    """
    parser = argparse.ArgumentParser(description=service_class.__doc__)
    parser.add_argument("--config", required=True, metavar="FILE.toml")
    path = Path(parser.parse_args().config)
    try:
        service_class(_read(path)).run()
    except KeyError as error:
        _fail(f"{path}: the key {error} is missing", 2)
    except (OSError, UsageError) as error:
        _fail(f"{path}: {error}", 2)
    except LabError as error:
        _fail(str(error), 1)


def _read(path: Path) -> Row:
    """The parsed file; UsageError if it is not TOML."""
    if sys.version_info >= (3, 11):
        # lazy: as below
        import tomllib
    else:
        # lazy: the system's Python of Ubuntu 22.04, which plain `mn` uses, may not have it
        import tomli as tomllib
    try:
        document: Row = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"invalid TOML: {error}") from None
    return document


def _fail(text: str, status: int) -> None:
    print(f"vtep: error: {text}", file=sys.stderr)
    sys.exit(status)


def counters(packets: int | None, length: int | None) -> Row:
    """One counter pair in the shape of `stats`; None for what is not counted."""
    return {"packets": packets, "bytes": length}
