"""The possible results of a row, with the packets that show a deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    """Whether a VTEP conforms to one statement."""

    CONFORMS = "conforms"
    DEVIATES = "deviates"
    ALLOWED = "allowed choice"
    UNOBSERVABLE = "cannot be observed"


@dataclass(frozen=True)
class Packet:
    """One packet on a link; `where` names the port and the direction."""

    where: str
    data: bytes

    def as_json(self) -> dict[str, str]:
        """Bytes as hex."""
        return {"where": self.where, "hex": self.data.hex()}

    @classmethod
    def from_json(cls, document: dict[str, str]) -> Packet:
        """The reverse of as_json."""
        return cls(document["where"], bytes.fromhex(document["hex"]))


@dataclass(frozen=True)
class Finding:
    """A verdict with its reason in one line and, for a deviation, the packets that show it."""

    verdict: Verdict
    text: str = ""
    packets: tuple[Packet, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The finding as a JSON object; packets as hex."""
        packets = [packet.as_json() for packet in self.packets]
        return {"verdict": self.verdict.value, "text": self.text, "packets": packets}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Finding:
        """The reverse of as_json."""
        packets = tuple(Packet.from_json(packet) for packet in document["packets"])
        return cls(Verdict(document["verdict"]), document["text"], packets)


def conforms(text: str = "") -> Finding:
    """The statement holds."""
    return Finding(Verdict.CONFORMS, text)


def allowed(text: str) -> Finding:
    """The document leaves a choice; `text` names the one that the VTEP takes."""
    return Finding(Verdict.ALLOWED, text)


def unobservable(text: str) -> Finding:
    """It cannot be observed at the two ports; `text` says why."""
    return Finding(Verdict.UNOBSERVABLE, text)


class Deviation(Exception):
    """The statement does not hold."""

    def __init__(self, text: str, packets: Sequence[Packet] = ()) -> None:
        super().__init__(text)
        self.finding = Finding(Verdict.DEVIATES, text, tuple(packets))


class NotObservable(Exception):
    """This VTEP does not show what a row must observe; the message says what."""
