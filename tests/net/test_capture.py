"""`vxlab capture`: no packet is lost when it ends; filters, all nodes, and write errors."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT, VXLAB, RunningLab, lab, vxlab
from vxlab.capture.packets import Capture
from vxlab.lab.captures import open_captures

BURST = 2000
MARK = b"\x88\xb5"  # IEEE 802: ethertype for experiments
FRAME = bytes.fromhex("02000000009902000000000a") + MARK + bytes(46)


@pytest.fixture
def sender(three_vteps: RunningLab) -> Iterator[Capture]:
    """A socket on A's link."""
    (capture,) = open_captures(three_vteps.handle, [("A", "A-eth0")])
    yield capture
    capture.socket.close()


def start(lab: RunningLab, *words: str) -> subprocess.Popen[str]:
    """Start a capture and wait until it captures."""
    process = subprocess.Popen(
        [*VXLAB, "capture", "--lab", lab.name, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    assert process.stderr is not None
    assert "Ctrl-C ends" in process.stderr.readline()
    return process


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """End the capture by a signal; returns what it printed."""
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (0, False), err
    return out


def frames_in(file: Path) -> int:
    return file.read_bytes().count(FRAME)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_packets_that_have_arrived_are_written_when_a_signal_ends_it(
    three_vteps: RunningLab, sender: Capture, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "x.pcapng"
    process = start(three_vteps, "A", "-w", str(file))
    process.send_signal(signal.SIGSTOP)  # it is stopped: it cannot read the packets that follow
    for _ in range(BURST):
        sender.send(FRAME)
    process.send_signal(number)
    ended(process, signal.SIGCONT)
    assert frames_in(file) == BURST


def test_time_stamps_are_those_of_the_kernel(
    three_vteps: RunningLab, sender: Capture, tmp_path: Path
) -> None:
    file = tmp_path / "x.pcapng"
    only = ("--filter", "ether proto 0x88b5")
    process = start(three_vteps, "A", "-w", str(file), "-c", "1", *only)
    (beside,) = open_captures(three_vteps.handle, [("A", "A-eth0")], only[1])
    sender.send(FRAME)
    process.communicate(timeout=30)
    (seen,) = beside.read()
    beside.socket.close()
    fields = ["-T", "fields", "-e", "frame.time_epoch"]
    done = subprocess.run(
        ["tshark", "-r", str(file), *fields], capture_output=True, text=True, check=True
    )
    # The kernel gives all sockets on a link the same time stamp.
    assert done.stdout.strip() == f"{seen.time_ns // 10**9}.{seen.time_ns % 10**9:09d}"


def test_a_node_that_is_named_twice_is_captured_once(
    three_vteps: RunningLab, sender: Capture
) -> None:
    process = start(three_vteps, "A", "A", "A:A-eth0", "--filter", "ether proto 0x88b5")
    sender.send(FRAME)
    assert len(ended(process).splitlines()) == 1


def test_a_filter_sees_the_vlan_tag_and_the_line_shows_it(three_vteps: RunningLab) -> None:
    of_vlan, of_other, tunnels = (
        start(three_vteps, "hv1", "--filter", expression)
        for expression in ("vlan 1 and icmp", "vlan 2", "udp port 4789 and dst host 192.0.2.12")
    )
    three_vteps.ping("A", "10.0.0.2", count=2)
    tagged = ended(of_vlan).splitlines()
    assert len(tagged) == 4
    assert all(" hv1-trunk " in line and " VLAN 1 IP / ICMP" in line for line in tagged)
    assert ended(of_other) == ""
    assert all(" hv1-eth0 out VXLAN " in line for line in ended(tunnels).splitlines())


def test_all_nodes_are_captured(three_vteps: RunningLab) -> None:
    process = start(three_vteps, "--all", "--filter", "arp or icmp or udp port 4789")
    three_vteps.ping("A", "10.0.0.2")
    interfaces = {line.split()[1] for line in ended(process).splitlines()}
    assert {"A-eth0", "br1-eth2", "br1-eth1", "hv1-trunk", "hv1-eth0", "s1-eth1"} <= interfaces
    assert {"s1-eth2", "hv2-eth0", "hv2-trunk", "br2-eth1", "br2-eth2", "B-eth0"} <= interfaces


def test_an_invalid_filter_is_refused_with_libpcaps_message(three_vteps: RunningLab) -> None:
    done = vxlab("capture", "--lab", three_vteps.name, "A", "--filter", "icmp or or")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--filter 'icmp or or': can't parse filter expression: syntax error" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("/dev/full", "vxlab: /dev/full: No space left on device\n"),
        ("/nonexistent/x", "vxlab: /nonexistent/x: No such file or directory\n"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error_of_one_line(
    three_vteps: RunningLab, file: str, line: str
) -> None:
    done = vxlab("capture", "--lab", three_vteps.name, "A", "-w", file)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_a_full_disk_is_an_error_of_one_line(
    three_vteps: RunningLab, sender: Capture, tmp_path: Path
) -> None:
    """A limit for file sizes simulates the full disk."""
    file = tmp_path / "x.pcapng"
    command = f"ulimit -f 1; trap '' XFSZ; exec {' '.join(VXLAB)} capture \"$@\""
    process = subprocess.Popen(
        ["bash", "-c", command, "-", "--lab", three_vteps.name, "A", "-w", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    assert process.stderr is not None
    assert "Ctrl-C ends" in process.stderr.readline()
    for _ in range(20):
        sender.send(FRAME)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    counted, reason = err.splitlines()
    assert counted.endswith(" packets")
    assert reason == f"vxlab: {file}: File too large"


def test_a_closed_pipe_ends_the_capture_without_an_error(
    three_vteps: RunningLab, sender: Capture
) -> None:
    readable, writable = os.pipe()
    process = subprocess.Popen(
        [*VXLAB, "capture", "--lab", three_vteps.name, "A"],
        stdout=writable,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    os.close(writable)
    assert process.stderr is not None
    assert "Ctrl-C ends" in process.stderr.readline()
    os.close(readable)
    sender.send(FRAME)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_a_link_that_goes_down_and_up_again_ends_no_capture(
    three_vteps: RunningLab, tmp_path: Path
) -> None:
    file = tmp_path / "x.pcapng"
    process = start(three_vteps, "A", "-w", str(file))
    for state in ("down", "up"):
        assert vxlab("link", "--lab", three_vteps.name, "A", "br1", state).returncode == 0
    (sender,) = open_captures(three_vteps.handle, [("A", "A-eth0")])
    sender.send(FRAME)
    sender.socket.close()
    ended(process)
    assert frames_in(file) == 1


def test_a_capture_ends_with_its_lab() -> None:
    with lab("two_hosts", "t-capture-end") as running:
        process = start(running, "router_1", "-w", "/dev/null")
        assert vxlab("down", running.name).returncode == 0
        _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (0, False), err
