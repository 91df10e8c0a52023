"""What the suite can say about a statement, and the packets that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    """How a VTEP stands to one statement."""

    CONFORMS = "conforms"
    DEVIATES = "deviates"
    ALLOWED = "allowed choice"
    UNOBSERVABLE = "cannot be observed"


@dataclass(frozen=True)
class Packet:
    """One packet as it was on a wire; `where` says on which, and which way."""

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
    """A verdict with its reason in a line, and for a deviation the packets that show it."""

    verdict: Verdict
    text: str = ""
    packets: tuple[Packet, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As it stands in reports."""
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
    """The document leaves a choice; `text` says which was taken."""
    return Finding(Verdict.ALLOWED, text)


def unobservable(text: str) -> Finding:
    """The two ports do not show it; `text` says why."""
    return Finding(Verdict.UNOBSERVABLE, text)


class Deviation(Exception):
    """The statement does not hold."""

    def __init__(self, text: str, packets: Sequence[Packet] = ()) -> None:
        super().__init__(text)
        self.finding = Finding(Verdict.DEVIATES, text, tuple(packets))


class Hidden(Exception):
    """What a row needs to see is not shown by this VTEP; the message says what."""
