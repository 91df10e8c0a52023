"""What VTEPs of all kinds share: reading the configuration, serving the control socket, ending."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from vxlab.control.server import serve
from vxlab.errors import LabError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Row = dict[str, Any]
COMMANDS = (
    *("ready", "fdb", "groups", "stats", "events", "stop"),
    *("flush", "vni_add", "vni_del", "static_add", "static_del"),
)


class VtepService(ABC):
    """One VTEP of a kind that is not ours, driven by the file our own agent reads."""

    unsupported: tuple[str, ...] = ()  # options of the file that this kind cannot honour

    def __init__(self, config: Row) -> None:
        self.config = config
        self.name: str = config["name"]
        self.underlay: Row = config["underlay"]
        self.segments: list[Row] = config.get("segment", [])
        self.ageing_s: int = config.get("fdb", {}).get("ageing_s", 300)
        self._ended = threading.Event()

    @property
    def checksums(self) -> bool:
        """Whether packets bear a UDP checksum; where nothing is said over IPv6 only, as our own."""
        return bool(self.underlay.get("udp_checksum", ":" in self.underlay["local"]))

    @abstractmethod
    def start(self) -> None:
        """Make the VTEP; LabError says what is in the way."""

    @abstractmethod
    def end(self) -> None:
        """Take away what `start` made."""

    @abstractmethod
    def fdb(self) -> list[Row]:
        """The table, in the shape of `vxlab fdb --json`."""

    @abstractmethod
    def groups(self) -> list[Row]:
        """Per VNI with a group: whether the kernel is a member of it."""

    @abstractmethod
    def stats(self) -> list[Row]:
        """Counters, in the shape of `vxlab stats --json`; null for what the kind does not count."""

    def flush(self, vni: int | None = None, mac: str | None = None) -> Row:
        """Remove learned entries: all, or those of one VNI, of one MAC or of both."""
        raise self._unsupported("flush")

    def vni_add(self, **_row: Any) -> Row:
        """Add a segment at run time."""
        raise self._unsupported("vni add")

    def vni_del(self, **_row: Any) -> Row:
        """Remove a segment at run time."""
        raise self._unsupported("vni del")

    def static_add(self, **_row: Any) -> Row:
        """Add a static entry at run time."""
        raise self._unsupported("static add")

    def static_del(self, **_row: Any) -> Row:
        """Remove a static entry at run time."""
        raise self._unsupported("static del")

    def _unsupported(self, command: str) -> LabError:
        return LabError(
            f"{command}: {self.name} has a VTEP of kind {self.kind}, which does not support it"
        )

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its name in `kinds.KINDS`."""

    def ready(self) -> Row:
        """Say that it runs."""
        vnis = len(self.segments)
        return {
            "name": self.name,
            "ready": True,
            "vnis": vnis,
            "pid": os.getpid(),
            "datapath": self.kind,
            "datapath_why": "its kind",
            "unsupported": list(self.unsupported),
        }

    def events(self, initial: bool = False) -> Row:
        """Report decisions; only the project's own agent does."""
        raise self._unsupported("events")

    def stop(self) -> Row:
        """End soon."""
        self._ended.set()
        return {}

    def run(self) -> None:
        """Serve until told to end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ended.set())
        self.start()
        control = Path(self.config["control"])
        serve(control, {command: getattr(self, command) for command in COMMANDS})
        self._ended.wait()
        self.end()
        control.unlink(missing_ok=True)  # last: who restarts it waits for this


def main(kind: type[VtepService]) -> None:
    """The command of a kind, `--config FILE.toml`: exit 1 the machine forbids, 2 a bad file."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--config", required=True, metavar="FILE.toml")
    path = Path(parser.parse_args().config)
    try:
        service = kind(tomllib.loads(path.read_text()))
        service.run()
    except (OSError, tomllib.TOMLDecodeError, KeyError, UsageError) as error:
        _fail(f"{path}: {error}", 2)
    except LabError as error:
        _fail(str(error), 1)


def _fail(text: str, status: int) -> None:
    print(f"vtep: error: {text}", file=sys.stderr)
    sys.exit(status)


def counters(packets: int | None, length: int | None) -> Row:
    """One kind of traffic in the shape of `stats`."""
    return {"packets": packets, "bytes": length}
