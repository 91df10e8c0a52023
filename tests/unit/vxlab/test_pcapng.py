"""pcapng files: exact time stamps, interface names, and files that cannot be written."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from scapy.utils import PcapNgReader

from vxlab.capture.packets import INBOUND, OUTBOUND, CapturedPacket
from vxlab.capture.pcapng import Recorder, save
from vxlab.errors import LabError

# As a float, this time loses its last two digits.
TIME_NS = 1_795_639_404_442_066_483
FRAME = bytes(range(61))  # not a multiple of 4: the block is padded


def captured(node: str, interface: str, direction: int = OUTBOUND) -> CapturedPacket:
    return CapturedPacket(TIME_NS, node, interface, direction, FRAME)


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of each block; the lengths at both ends must agree."""
    found = []
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert struct.unpack_from("<I", data, length - 4) == (length,)
        assert length % 4 == 0
        found.append((kind, data[8 : length - 4]))
        data = data[length:]
    return found


def test_a_time_stamp_keeps_all_nanoseconds(tmp_path: Path) -> None:
    file = tmp_path / "x.pcapng"
    save(file, [captured("A", "A-eth0")])
    (_, interface, (kind, packet)) = blocks(file.read_bytes())
    assert b"\x09\x00\x01\x00\x09" in interface[1]  # if_tsresol: 10^-9 s
    assert kind == 6
    _, high, low, kept, original = struct.unpack_from("<IIIII", packet)
    assert high << 32 | low == TIME_NS
    assert (kept, original) == (len(FRAME), len(FRAME))


def test_another_reader_finds_packets_interfaces_and_directions(tmp_path: Path) -> None:
    file = tmp_path / "x.pcapng"
    save(file, [captured("A", "eth0"), captured("B", "eth0", INBOUND), captured("A", "eth0")])
    with PcapNgReader(str(file)) as reader:
        packets = list(reader)
    assert [bytes(packet) for packet in packets] == [FRAME] * 3
    assert [packet.sniffed_on for packet in packets] == ["eth0"] * 3
    assert [packet.direction for packet in packets] == [OUTBOUND, INBOUND, OUTBOUND]
    kinds = [kind for kind, _ in blocks(file.read_bytes())]
    assert kinds == [0x0A0D0D0A, 1, 6, 1, 6, 6]  # two nodes' interfaces of one name are two


def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    with pytest.raises(LabError, match=r"^/dev/full: No space left on device$"):
        Recorder("/dev/full")


def test_a_file_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"nowhere/x: No such file or directory$"):
        Recorder(str(tmp_path / "nowhere" / "x"))
