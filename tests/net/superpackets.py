"""Random packets sent with UDP GSO, compared with the same packets sent one by one.

 a - veth - b       a sends; b has the addresses of two remotes and is a member of the group
Either the kernel segments the super-packets at a, or they reach b, whose underlay splits them.
"""

from __future__ import annotations

import os
import random
import select
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from vtep.batching import Batcher
from vtep.core import Core
from vtep.drops import DropReason
from vtep.effects import Effect, PortId, ToUnderlay
from vtep.forkserver import enter_network
from vtep.options import Options
from vtep.reporting import PendingFate
from vtep.segments import SegmentSpec
from vtep.udp_gso import PacketRun
from vtep.underlay.base import Datagram, Underlay
from vtep.underlay.gso_sender import GsoSender
from vtep.underlay.ipv4 import Ipv4Underlay
from vtep.underlay.ipv6 import Ipv6Underlay
from vtep.wire import ones_sum
from vxlab.capture.packets import INBOUND, Capture
from vxlab.system import sandbox
from vxlab.system.commands import run

VNI, PORT, MTU = 10, 4789, 1500
_BURSTS, _LONGEST_BURST = 3, 70
_WITHIN_S = 10.0
_OWN = {4: "192.0.2.11", 6: "2001:db8::11"}
_REMOTES = {4: ("192.0.2.12", "192.0.2.13"), 6: ("2001:db8::12", "2001:db8::13")}
_GROUP = {4: "239.1.1.10", 6: "ff05::a"}
_NO_SUCH = "02:00:00:00:00:ff"
_A, _HERE, _THERE = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
_MAC = {"a": "02:51:00:00:00:01", "b": "02:51:00:00:00:02"}
_MAKE = """
for node in a b; do
  ip netns add $node
  ip netns exec $node sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'
done
ip -n a link add name eth0 mtu {mtu} address {a} type veth peer name eth0 mtu {mtu} address {b} \
  netns b
for node in a b; do
  ip netns exec $node ethtool -K eth0 gro off tx {offloads} > /dev/null
  ip -n $node link set eth0 up
done
ip -n a addr add {own}/{length} dev eth0
for remote in {remotes}; do
  ip -n b addr add $remote/{length} dev eth0
  ip -n a neighbour add $remote lladdr {b} dev eth0 nud permanent
done
"""


def compare(version: int, seed: int, frames: int, cut: bool) -> str:
    """Run the comparison in a sandbox; the result begins with "equal" if there is no difference."""
    with tempfile.TemporaryDirectory(prefix="vxlab-superpackets-") as name:
        log, said = Path(name) / "log", Path(name) / "said"
        log.touch()

        def body() -> int:
            said.write_text(_Comparison(version, seed, cut).run(frames))
            return 0

        keeper, _ = sandbox.start(body, Path(name), False, log)
        os.waitpid(keeper, 0)
        return said.read_text() if said.exists() else log.read_text()


class _Comparison:
    """Both ends, and two cores that differ only in whether they compute checksums."""

    def __init__(self, version: int, seed: int, cut: bool) -> None:
        words = {
            **_MAC, "mtu": MTU, "own": _OWN[version], "remotes": " ".join(_REMOTES[version]),
            "length": 24 if version == 4 else 64, "offloads": "off" if cut else "on",
        }  # fmt: skip
        run("sh", "-euc", _MAKE.format_map(words))
        os.sched_setaffinity(
            0, {min(os.sched_getaffinity(0))}
        )  # one CPU has one queue, which keeps the order
        self._version, self._cut, self._random = version, cut, random.Random(seed)
        self._cores = [_core(version, checksum) for checksum in (True, False)]
        enter_network("/run/netns/b")
        self._receiver = _underlay(version, _REMOTES[version][0])
        self._receiver.take_merged()
        self._receiver.join(_GROUP[version])
        self._capture = Capture("b", "eth0")
        enter_network("/run/netns/a")
        underlay = _underlay(version, _OWN[version])
        self._sender = GsoSender(underlay, _OWN[version], PORT)
        self._failed: list[DropReason] = []

    def run(self, frames: int) -> str:
        """Send a number of frames in batches; returns the first difference, if any."""
        sent, seen = 0, 0
        while sent < frames:
            packets = self._send(self._batch())
            expected = [self._datagram(packet) for packet in packets]
            received = self._received(len(packets))
            sighted = [_plain(packet) for packet in self._packets()]
            if self._failed:
                return f"not sent: {self._failed}"
            if received != expected:
                return f"received: {_first(received, expected)}"
            if self._cut and sighted != packets:
                return f"on the wire: {_first(sighted, packets)}"
            sent, seen = sent + len(packets), seen + len(sighted)
        return f"equal: {sent} packets in {seen}"

    def _batch(self) -> list[bytes]:
        """Bursts of equally long frames of one or two flows, with other frames in between."""
        one, batch = self._random, list[bytes]()
        for _ in range(one.randint(1, _BURSTS)):
            size, there = one.choice([18, 500, 1000, 1400]), one.choice([_HERE, _THERE, _NO_SUCH])
            for _ in range(one.randint(1, _LONGEST_BURST)):
                batch.append(self._frame(there, size if one.random() < 0.97 else size - 1))
        return batch

    def _frame(self, there: str, size: int) -> bytes:
        one = self._random
        ip = IP(
            src="10.0.0.1", dst="10.0.0.2", flags="DF", id=one.randrange(1 << 16),
            ttl=one.choice([64] * 50 + [9]), tos=one.choice([0] * 50 + [0x2B]),
        )  # fmt: skip
        udp = UDP(sport=one.choice([7] * 50 + [8]), dport=9)
        return bytes(Ether(src=_A, dst=there) / ip / udp / one.randbytes(size))

    def _send(self, batch: list[bytes]) -> list[bytearray]:
        """Send a batch in runs; returns the packets as they would be sent one by one."""
        batcher = Batcher(PacketRun(), lambda decision: None, self._alone, self._together)
        expected = []
        for frame in batch:
            whole, undone = (core.frame_from_port(PortId(0), None, frame, 0.0)
                             for core in self._cores)  # fmt: skip
            expected += [each.packet for each in whole[0] if isinstance(each, ToUnderlay)]
            batcher.carry_out(undone)
        batcher.flush()
        return expected

    def _together(self, run: list[ToUnderlay], _fates: list[PendingFate | None]) -> None:
        reasons = self._sender.send_run(run[0].destination, [each.packet for each in run])
        self._failed += [reason for reason in reasons if reason is not None]

    def _alone(self, effect: Effect, _fate: PendingFate | None) -> None:
        raise AssertionError(f"no effect may be carried out alone: {effect}")

    def _packets(self) -> Iterator[bytes]:
        """The VXLAN packets received at b, without Ethernet header."""
        for captured in self._capture.read():
            packet = captured.data[14:]
            udp = 20 if self._version == 4 else 40
            protocol = packet[9 if self._version == 4 else 6]
            if (captured.direction, protocol) == (INBOUND, 17):
                assert int.from_bytes(packet[udp + 2 : udp + 4], "big") == PORT
                yield packet

    def _received(self, number: int) -> list[Datagram]:
        found: list[Datagram] = []
        waiting = [self._receiver.fileno()]
        while len(found) < number and select.select(waiting, [], [], _WITHIN_S)[0]:
            found += self._receiver.receive()
        return found

    def _datagram(self, packet: bytearray) -> Datagram:
        """What a VTEP must receive of a packet."""
        udp = 20 if self._version == 4 else 40
        own, group = _OWN[self._version], packet[16] >> 4 == 0xE
        octet = packet[1]
        if self._version == 6:
            group = packet[24] == 0xFF
            octet = (packet[0] & 0x0F) << 4 | packet[1] >> 4
        sport = int.from_bytes(packet[udp : udp + 2], "big")
        return own, sport, group, octet, bytes(packet[udp + 8 :])


def _plain(packet: bytes) -> bytearray:
    """A packet as the core builds it: the kernel fills in identification and IPv4 checksum."""
    plain = bytearray(packet)
    if packet[0] >> 4 == 4:
        assert ones_sum(packet[:20]) == 0xFFFF
        plain[4:6] = plain[10:12] = bytes(2)
    return plain


def _first(found: Sequence[object], expected: Sequence[object]) -> str:
    """The first difference of two sequences."""
    for number, (one, other) in enumerate(zip_longest(found, expected)):
        if one != other:
            return f"number {number} of {len(expected)}: {one!r:.300} and not {other!r:.300}"
    return "nothing"


def _core(version: int, checksum: bool) -> Core:
    core = Core(Options(_OWN[version], ttl=None, dscp=None, udp_checksum=checksum, mtu=MTU))
    core.add_segment(SegmentSpec(VNI, PortId(0), None, _GROUP[version]), 0.0)
    for mac, remote in zip((_HERE, _THERE), _REMOTES[version], strict=True):
        core.set_static(VNI, bytes.fromhex(mac.replace(":", "")), remote, 0.0)
    return core


def _underlay(version: int, local: str) -> Underlay:
    kind: Callable[..., Underlay] = Ipv4Underlay if version == 4 else Ipv6Underlay
    return kind("eth0", local, PORT, print)
