"""Captured packets as a pcapng that Wireshark opens, with interface names and directions."""

from __future__ import annotations

from pathlib import Path

from scapy.packet import Raw
from scapy.utils import PcapNgWriter

from vxlab.capture.packets import CapturedPacket

_ETHERNET = 1  # LINKTYPE_ETHERNET


class Recorder:
    """Writes one file as packets come; each is in the file when `write` returns."""

    def __init__(self, path: str) -> None:
        """path: a file, or "-" for standard output."""
        self._writer = PcapNgWriter("/dev/stdout" if path == "-" else path)
        self._writer.linktype = _ETHERNET
        self._writer.write_header(None)
        self._writer.f.flush()

    def write(self, captured: CapturedPacket) -> None:
        """Append one packet."""
        packet = Raw(captured.data)
        packet.time = captured.time_ns / 1e9
        packet.sniffed_on = captured.interface
        packet.direction = captured.direction
        self._writer.write_packet(packet)
        self._writer.f.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def save(path: Path, captured_packets: list[CapturedPacket]) -> None:
    """Write a list of captured packets as one file."""
    recorder = Recorder(str(path))
    for captured in captured_packets:
        recorder.write(captured)
    recorder.close()
