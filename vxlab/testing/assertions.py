"""Assertions about a VXLAN overlay that wait, and show tables, packets and events when they fail.

Each checks until it holds or `within` seconds have passed. The ones about forwarding send frames of
their own from a VM's interface: EtherType 0x88b5 (IEEE 802 local experimental), which no host
answers, with a mark that identifies them on every link. Sending teaches the VTEPs and switches
where the sender is.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NoReturn

from vxlab.capture.decode import Encapsulated, encapsulated
from vxlab.capture.packets import INBOUND, OUTBOUND, CapturedPacket
from vxlab.testing.evidence import EventWatch, report
from vxlab.testing.lab import Row, RunningLab
from vxlab.testing.polling import eventually
from vxlab.testing.recording import Recording
from vxlab.topology.names import nic

BROADCAST = "ff:ff:ff:ff:ff:ff"
WITHIN_S = 10.0
_ARRIVES_WITHIN_S = 1.0  # one frame, before it is sent again
_EXPERIMENTAL = bytes.fromhex("88b5")


# -- tables


def assert_learned(
    lab: RunningLab,
    hypervisor: str,
    vm: str,
    *,
    behind: str | None = None,
    within: float = WITHIN_S,
) -> None:
    """A hypervisor's VTEP has a row for a VM, behind the hypervisor it is on.

    behind: another hypervisor that is expected instead.
    """
    row = lab.node(vm)
    place = behind or row["hypervisor"]
    remote = None if place == hypervisor else lab.node(place)["underlay"]

    def check() -> None:
        try:
            lab.assert_row(hypervisor, row["vni"], row["mac"], remote)
        except AssertionError as error:
            where = "at a port of its own" if remote is None else f"behind {place} ({remote})"
            raise AssertionError(f"{hypervisor} has not learned {vm} {where}: {error}") from None

    _until(lab, check, within)


def assert_not_learned(
    lab: RunningLab, hypervisor: str, vm: str, *, within: float = WITHIN_S
) -> None:
    """A hypervisor's VTEP has no row for a VM, also after packets on their way have arrived."""
    row = lab.node(vm)

    def check() -> None:
        found = lab.row(hypervisor, row["vni"], row["mac"])
        place = found and (found["remote"] or "a port of its own")
        assert found is None, (
            f"{hypervisor} has learned {vm} ({row['mac']} in VNI {row['vni']}) behind {place}"
        )

    def lasting() -> None:
        check()
        with lab.record() as packets:
            packets.settle()
        check()

    _until(lab, lasting, within)


def _until(lab: RunningLab, check: Callable[[], None], within: float) -> None:
    """Wait for a check of the tables; agents are watched only once it has failed."""
    try:
        check()
    except AssertionError:
        with EventWatch(lab) as watch:
            try:
                eventually(check, within)
            except AssertionError as error:
                headline = f"{error} (waited {within:g} s)"
                raise AssertionError(report(lab, headline, lab.latest, watch)) from None


# -- forwarding


def assert_flooded_only_to(
    lab: RunningLab, sender: str, hypervisors: Iterable[str], *, within: float = WITHIN_S
) -> None:
    """A broadcast from the VM `sender` reaches these hypervisors once each, and no others.

    Checked on the hypervisors' underlay links, so a copy that a VTEP would drop counts too.
    """
    expected = Counter(hypervisors)
    _until_forwarded(lab, sender, BROADCAST, expected, within)


def assert_unicast(
    lab: RunningLab, sender: str, receiver: str, *, within: float = WITHIN_S
) -> None:
    """A frame from one VM to another crosses the underlay once, addressed to the VM's own VTEP.

    It holds when the sender's VTEP has learned the receiver; a flooded frame fails.
    """
    row = lab.node(receiver)
    _until_forwarded(lab, sender, row["mac"], Counter([row["hypervisor"]]), within, row)


class _Unmet(AssertionError):
    """A frame was not forwarded as expected; the recording has its copies."""


def _until_forwarded(
    lab: RunningLab,
    sender: str,
    destination: str,
    expected: Counter[str],
    within: float,
    receiver: Row | None = None,
) -> None:
    source = lab.node(sender)
    remote = None if receiver is None else str(lab.node(receiver["hypervisor"])["underlay"])
    with lab.record(sender, *_underlay(lab)) as packets:

        def attempt() -> None:
            mark = _send(packets, source, destination)
            _await_copies(packets, mark, expected)
            packets.settle(mark)
            _check_copies(packets, mark, expected, source, remote)

        try:
            eventually(attempt, within)
        except AssertionError:
            _fail_watched(lab, packets, attempt, within)


def _underlay(lab: RunningLab) -> list[str]:
    return [f"{name}:{nic(name)}" for name in lab.handle.hypervisors()]


def _send(packets: Recording, source: Row, destination: str) -> bytes:
    """Send a marked frame from a VM's interface; returns the mark."""
    mark = b"vxlab" + secrets.token_bytes(8)
    addresses = bytes.fromhex((destination + source["mac"]).replace(":", ""))
    frame = addresses + _EXPERIMENTAL + mark
    packets.send(nic(source["name"]), frame.ljust(60, b"\0"))
    return mark


def _arrived(packets: Recording, mark: bytes) -> Counter[str]:
    """How many copies each hypervisor received from the underlay."""
    return Counter(
        packet.node
        for packet in packets.marked(mark)
        if packet.direction == INBOUND and encapsulated(packet) is not None
    )


def _await_copies(packets: Recording, mark: bytes, expected: Counter[str]) -> None:
    def check() -> None:
        missing = expected - _arrived(packets, mark)
        if missing:
            raise _Unmet(f"no copy reached {', '.join(sorted(missing))}")

    eventually(check, _ARRIVES_WITHIN_S)


def _check_copies(
    packets: Recording, mark: bytes, expected: Counter[str], source: Row, remote: str | None
) -> None:
    arrived = _arrived(packets, mark)
    if arrived != expected:
        raise _Unmet(f"copies by hypervisor: {_counts(arrived)}; expected: {_counts(expected)}")
    sent = [found for p in packets.marked(mark) if (found := _sent(p)) is not None]
    wrong = {found.vni for found in sent} - {source["vni"]}
    if wrong:
        raise _Unmet(f"sent with VNI {wrong}, not {source['vni']}")
    addresses = {found.destination for found in sent}
    if remote is not None and addresses != {remote}:
        raise _Unmet(f"sent to {', '.join(sorted(addresses))}, not to {remote} alone")


def _sent(packet: CapturedPacket) -> Encapsulated | None:
    return encapsulated(packet) if packet.direction == OUTBOUND else None


def _counts(copies: Counter[str]) -> str:
    return ", ".join(f"{name} {copies[name]}" for name in sorted(copies)) or "none"


def _fail_watched(
    lab: RunningLab, packets: Recording, attempt: Callable[[], None], within: float
) -> NoReturn:
    """Repeat a failed attempt with the agents watched, and show what they decided."""
    with EventWatch(lab) as watch:
        try:
            attempt()
        except AssertionError as error:
            headline = f"{error} (waited {within:g} s; packets of all attempts)"
            raise AssertionError(report(lab, headline, packets, watch)) from None
        headline = f"failed for {within:g} s; held when repeated with the agents watched"
        raise AssertionError(report(lab, headline, packets, watch))


# -- isolation


def assert_isolated(lab: RunningLab, one: str, other: str) -> None:
    """Two VMs receive no frame of each other, neither broadcast nor unicast.

    The frames must have left their senders, so that a VM without a link does not pass.
    """
    # A packet socket does not receive what is sent through itself, so others send.
    with lab.record(one, other) as senders, lab.record(one, other, *_underlay(lab)) as packets:

        def attempt() -> None:
            for sender, receiver in ((one, other), (other, one)):
                _check_isolated(lab, senders, packets, sender, receiver)

        try:
            attempt()
        except AssertionError:
            _fail_watched(lab, packets, attempt, 0)


def _check_isolated(
    lab: RunningLab, senders: Recording, packets: Recording, sender: str, receiver: str
) -> None:
    source, target = lab.node(sender), lab.node(receiver)
    for destination in (BROADCAST, target["mac"]):
        mark = _send(senders, source, destination)
        eventually(lambda mark=mark: _check_left(packets, mark, sender))  # type: ignore[misc]
        packets.settle(mark)
        reached = [p for p in packets.marked(mark) if (p.node, p.direction) == (receiver, INBOUND)]
        if reached:
            raise _Unmet(f"{receiver} received a frame of {sender} to {destination}")


def _check_left(packets: Recording, mark: bytes, sender: str) -> None:
    left = [p for p in packets.marked(mark) if (p.node, p.direction) == (sender, OUTBOUND)]
    assert left, f"{sender} could not send"
