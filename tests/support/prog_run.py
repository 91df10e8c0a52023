"""Run the fast path's program on single packets, without any interface (BPF_PROG_RUN).

The kernel runs the program on a packet that the test gives it and returns the verdict and the
packet as the program left it. The maps are filled by the test, as the agent does it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vtep.fastpath import layout
from vtep.fastpath.libbpf import Program, load_library
from vtep.fastpath.table import Table

FAST_PATH = Path(layout.__file__).parent
PASS, REDIRECT = 0, 7  # TC_ACT_OK, TC_ACT_REDIRECT
PORT_INTERFACE = 1  # a test run uses the loopback interface unless a test sets another one
PORT_TAP, UNDERLAY, UNDERLAY_TAP, OUT_PORT = 71, 72, 73, 74  # nothing is sent, so any value works
ENTRIES = {"rows": 16, "remotes": 8, "segments": 8, "vlans": layout.VLANS_A_PORT, "ports": 1}
LONG_AGO_S = 60.0
AGEING_S = 300.0

_RECORDED = struct.Struct("=III16sIIIiII4xQ")
_IMITATE_ROOM = struct.Struct("=I")
_IMITATE_ROOM_AT = 48
_CONTEXT = struct.Struct("=192s")  # struct __sk_buff
_CB_AT, _GSO_SEGMENTS_AT, _GSO_SIZE_AT = 48, 164, 176
_LONGEST = 8192


def missing_for_prog_run() -> str | None:
    """What is missing to compile and to run an eBPF program; None if nothing."""
    if os.geteuid() != 0:
        return "root: only root may load eBPF programs"
    if shutil.which("clang") is None:
        return "clang: it compiles the eBPF programs"
    return None


_MISSING = missing_for_prog_run()
needs_prog_run = pytest.mark.skipif(_MISSING is not None, reason=f"needs {_MISSING}")


def compile_bpf(source: Path, target: Path, family: int = 4) -> Path:
    """Compile a C file as set-up compiles the fast path; a failure shows clang's messages."""
    options = ["-O2", "-g", "-Wall", "-Wno-address-of-packed-member", "-target", "bpf"]
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    command = ["clang", *options, f"-I{include}", f"-I{FAST_PATH}", f"-DUNDERLAY={family}"]
    done = subprocess.run(
        [*command, "-c", source, "-o", target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


class _RunOptions(ctypes.Structure):
    """struct bpf_test_run_opts"""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_char_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


@dataclass(frozen=True)
class Outcome:
    """What one run did. `redirect` and what follows it is from recorded.bpf.c."""

    verdict: int
    packet: bytes
    redirect: str | None  # "", "neigh" or "peer" after bpf_redirect; None: not called
    interface: int
    next_hop: str | None  # None: left to the kernel's routing
    pushed: int | None  # VLAN tag
    popped: int
    room_calls: int
    room: int
    mode: int
    room_flags: int


class Counters(NamedTuple):
    """What the kernel forwarded of a segment."""

    encapsulated_packets: int
    encapsulated_bytes: int
    decapsulated_packets: int
    decapsulated_bytes: int


class FastPathProgram:
    """The loaded program of one underlay family, and its maps."""

    def __init__(self, family: int, directory: Path) -> None:
        """Compile and load the program. family: 4 or 6."""
        self.family = family
        source = Path(__file__).with_name("recorded.bpf.c")
        path = compile_bpf(source, directory / f"recorded{family}.bpf.o", family)
        self._program = Program(path, ENTRIES)
        self._library = load_library()
        self._library.bpf_prog_test_run_opts.argtypes = (ctypes.c_int, ctypes.c_void_p)
        self.local, self.remote, self.other_remote = (
            ("192.0.2.1", "192.0.2.11", "192.0.2.12")
            if family == 4
            else ("2001:db8:ffff::1", "2001:db8:ffff::11", "2001:db8:ffff::12")
        )
        lengths = {
            "rows": ENTRIES["rows"] * layout.BUCKET_LENGTH,
            "remotes": ENTRIES["remotes"] * layout.REMOTE.size,
            "segments": ENTRIES["segments"] * layout.SEGMENT_LENGTH,
            "vlans": ENTRIES["vlans"] * 8,
            "ports": layout.PORT.size,
            ".bss": layout.CONFIG.size,
            ".data.recorded": _RECORDED.size,
        }
        self._maps = {name: self._memory(name, length) for name, length in lengths.items()}
        self.reset()

    def _memory(self, name: str, length: int) -> memoryview:
        return memoryview(self._program.memory(name, length))[:length]

    def close(self) -> None:
        """Unload the program."""
        self._program.close()

    # -- the maps

    def reset(self) -> None:
        """Empty all maps; then one port and the usual configuration."""
        for memory in self._maps.values():
            memory[:] = bytes(len(memory))
        self.table = Table(self._maps["rows"].cast("Q"), (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))
        self.configure()
        self.set_port_interface(PORT_INTERFACE)

    def set_port_interface(self, interface: int) -> None:
        """The interface of the only port."""
        layout.PORT.pack_into(self._maps["ports"], 0, interface, 0, PORT_TAP)

    def configure(self, **changes: Any) -> None:
        """The usual configuration, with changes."""
        usual = {
            "paused": 0, "ageing": layout.ticks(AGEING_S), "largest_frame": 1514,
            "first_source_port": 49152, "source_ports": 16384, "ttl": 64, "dscp": 0,
            "dont_fragment": 1,
        }  # fmt: skip
        assert changes.keys() <= usual.keys()
        now = {**usual, **changes}
        layout.CONFIG.pack_into(
            self._maps[".bss"], 0, *self.table.multipliers, self.table.shift, now["paused"],
            now["ageing"], UNDERLAY, UNDERLAY_TAP, now["largest_frame"],
            layout.address(self.local), struct.pack("!H", 4789), now["first_source_port"],
            now["source_ports"], now["ttl"], now["dscp"], now["dont_fragment"], ENTRIES["ports"],
        )  # fmt: skip

    def add_segment(
        self, number: int, vni: int, vlan: int = 0, flags: int = 0, largest_frame: int = 1514
    ) -> None:
        """A segment of the port, untagged or with a VLAN."""
        at = number * layout.SEGMENT_LENGTH
        layout.SEGMENT.pack_into(
            self._maps["segments"], at, vni, OUT_PORT, largest_frame, vlan, flags
        )
        self._maps["vlans"].cast("Q")[vlan] = number
        assert self.table.set(layout.key_of_vni(vni), layout.value(0, number, layout.PERMANENT))

    def remove_segment(self, number: int, vni: int) -> None:
        """Remove a segment as the agent does."""
        self.table.remove(layout.key_of_vni(vni))
        layout.SEGMENT.pack_into(
            self._maps["segments"], number * layout.SEGMENT_LENGTH, 0, 0, 0, 0, 0
        )

    def add_remote(self, number: int, address: str, on_link: bool = True) -> None:
        """A remote VTEP."""
        flags = layout.ON_LINK * on_link
        at = number * layout.REMOTE.size
        layout.REMOTE.pack_into(self._maps["remotes"], at, layout.address(address), flags)

    def add_row(
        self, segment: int, mac: bytes, remote: int, age_s: float = LONG_AGO_S, flags: int = 0
    ) -> None:
        """A row of a MAC, last seen `age_s` ago; remote 0: local."""
        seen = layout.ticks(time.monotonic() - age_s) if age_s else layout.ticks(time.monotonic())
        assert self.table.set(layout.key(mac, segment), layout.value(seen, remote, flags))

    def age_s(self, segment: int, mac: bytes) -> float:
        """How long ago a MAC was seen, by its row."""
        value = self.table.get(layout.key(mac, segment))
        assert value is not None
        now = time.monotonic()
        return now - layout.seconds(layout.value_parts(value)[0], now)

    def rows(self) -> bytes:
        """The whole table of MACs, to assert that nothing in it has changed."""
        return bytes(self._maps["rows"])

    def counters(self, segment: int) -> Counters:
        """What a segment has counted."""
        at = segment * layout.SEGMENT_LENGTH + layout.SEGMENT_COUNTERS_AT
        return Counters(*layout.SEGMENT_COUNTERS.unpack_from(self._maps["segments"], at))

    # -- running it

    def run(
        self,
        name: str,
        packet: bytes,
        vlan: int | None = None,
        keep: int | None = None,
        gso_size: int = 0,
        imitate_room: bool = False,
    ) -> Outcome:
        """Run a program once on a packet.

        vlan: TCI of the packet's tag, which is in the kernel's metadata. keep: cut the packet to so
        many bytes. gso_size: bytes in each of its segments. imitate_room: see recorded.bpf.c.
        """
        recorded = self._maps[".data.recorded"]
        recorded[:] = bytes(len(recorded))
        _IMITATE_ROOM.pack_into(recorded, _IMITATE_ROOM_AT, imitate_room)
        context = bytearray(_CONTEXT.size)
        tag = 0 if vlan is None else 1 + vlan
        struct.pack_into("=II", context, _CB_AT, tag, keep or 0)
        segments = -(-len(packet) // gso_size) if gso_size else 0
        struct.pack_into("=I", context, _GSO_SEGMENTS_AT, segments)
        struct.pack_into("=I", context, _GSO_SIZE_AT, gso_size)
        out = ctypes.create_string_buffer(_LONGEST)
        options = _RunOptions(
            ctypes.sizeof(_RunOptions), packet, ctypes.addressof(out), len(packet), _LONGEST,
            bytes(context), None, len(context), 0,
        )  # fmt: skip
        fd = self._program.fd(name if vlan is None and keep is None else f"prepared_{name}")
        result = self._library.bpf_prog_test_run_opts(fd, ctypes.byref(options))
        assert result == 0, os.strerror(-result)
        return self._outcome(options.retval, out.raw[: options.data_size_out])

    def _outcome(self, verdict: int, packet: bytes) -> Outcome:
        call, interface, family, hop, pushed, *rest = _RECORDED.unpack(self._maps[".data.recorded"])
        popped, room_calls, room, mode, _, room_flags = rest
        next_hop = None
        if family:
            next_hop = socket.inet_ntop(family, hop[:4] if family == socket.AF_INET else hop)
        redirect = (None, "", "neigh", "peer")[call]
        tag = pushed - 1 if pushed else None
        return Outcome(
            verdict, packet, redirect, interface, next_hop, tag, popped, room_calls, room, mode,
            room_flags,
        )  # fmt: skip
