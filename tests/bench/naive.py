"""A naive VTEP, as a baseline: Scapy receives, parses, builds and sends every packet.

It floods, learns and forwards as RFC 7348 describes. It uses Scapy's own sockets in the way its
manual recommends, and one ordinary socket to join the group.
"""

from __future__ import annotations

import argparse
import select
import socket
import struct
import sys
from pathlib import Path

from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from vxlab.control.server import serve

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PORT = 4789
_FLAG = 0x08


class NaiveVtep:
    """One segment, one port."""

    def __init__(self, file: Path) -> None:
        config = tomllib.loads(file.read_text())
        (segment,) = config["segment"]
        self._control = Path(config["control"])
        self._local: str = config["underlay"]["local"]
        self._vni: int = segment["vni"]
        self._group: str = segment["group"]
        self._remotes: dict[str, str] = {}  # MAC -> VTEP
        self._port = conf.L2socket(iface=segment["port"])
        self._sender = conf.L3socket(iface=config["underlay"]["interface"])
        self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind(("", _PORT))
        index = socket.if_nametoindex(config["underlay"]["interface"])
        request = struct.pack("=4s4si", socket.inet_aton(self._group), bytes(4), index)
        self._receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def run(self) -> None:
        """Forward packets until the process is ended."""
        serve(self._control, {"ready": lambda: {"ready": True, "datapath": "scapy"}})
        while True:
            ready, _, _ = select.select([self._port, self._receiver], [], [])
            if self._port in ready:
                frame = self._port.recv()
                if frame is not None:
                    self._from_port(frame)
            if self._receiver in ready:
                data, (sender, _) = self._receiver.recvfrom(65_535)
                self._from_underlay(data, sender)

    def _from_port(self, frame: Ether) -> None:
        remote = self._remotes.get(frame.dst, self._group)
        sport = 49152 + hash((frame.src, frame.dst)) % 16384
        packet = (
            IP(src=self._local, dst=remote, ttl=64, flags="DF")
            / UDP(sport=sport, dport=_PORT, chksum=0)
            / VXLAN(flags=_FLAG, vni=self._vni)
            / frame
        )
        self._sender.send(packet)

    def _from_underlay(self, data: bytes, sender: str) -> None:
        packet = VXLAN(data)
        if sender == self._local or packet.flags != _FLAG or packet.vni != self._vni:
            return
        frame = packet.payload
        if not int(frame.src[:2], 16) & 1:  # not a group address
            self._remotes[frame.src] = sender
        self._port.send(frame)


def main() -> None:
    """Read the command line and run the VTEP."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, type=Path)
    NaiveVtep(parser.parse_args().config).run()


if __name__ == "__main__":
    main()
