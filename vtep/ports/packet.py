"""A port on an existing interface, by AF_PACKET.

The kernel stores the 802.1Q tag of a received frame beside its bytes (PACKET_AUXDATA), and delivers
super-frames and partial checksums (PACKET_VNET_HDR). This file resolves both: it returns frames
without tag, of normal size, with complete checksums.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Iterator, Sequence

from vtep import vnet_hdr
from vtep.drops import DropReason
from vtep.errors import StartError
from vtep.ethernet import HEADER_LENGTH, tag
from vtep.recvmmsg import ReceiveBatch
from vtep.tcp_merge import merge

Frame = tuple[int | None, bytes]  # (VLAN of its tag, frame without that tag)

_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _STATISTICS, _AUXDATA, _VNET_HDR, _IGNORE_OUTGOING = 1, 6, 8, 15, 23
_MR_PROMISC = 1
_SIOCGIFMTU = 0x8921
_TP_STATUS_VLAN_VALID = 0x10
_AUX_AT = 16  # behind the header of a control message
_AUX = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_RECEIVE_BUFFER = 8 << 20
_LARGEST = vnet_hdr.LENGTH + 65_536 + 64
_NO_OFFLOAD = bytes(vnet_hdr.LENGTH)
_VLAN_MASK = 0x0FFF


class PacketPort:
    """One interface as a port of the VTEP."""

    def __init__(self, interface: str) -> None:
        """Open it for writing; StartError names what is missing. `listen` opens it for reading."""
        self.interface = interface
        try:
            self.index = socket.if_nametoindex(interface)
        except OSError:
            raise StartError(f"port {interface}: no such interface") from None
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise StartError(f"port {interface}: needs root, or CAP_NET_RAW") from None
        self._configure()

    def _configure(self) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            pass  # then the limit is net.core.rmem_max
        for option in (_AUXDATA, _VNET_HDR, _IGNORE_OUTGOING):
            self._socket.setsockopt(_SOL_PACKET, option, 1)
        promiscuous = struct.pack("=iHH8s", self.index, _MR_PROMISC, 0, b"")
        self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, promiscuous)
        self._socket.bind((self.interface, 0))
        request = struct.pack("16si", self.interface.encode(), 0)
        self.mtu = int(struct.unpack("16si", fcntl.ioctl(self._socket, _SIOCGIFMTU, request))[1])

    def listen(self) -> None:
        """Receive frames from now on."""
        self._batch = ReceiveBatch(_LARGEST)
        self._socket.bind((self.interface, _ETH_P_ALL))

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def read(self) -> Iterator[Frame | DropReason]:
        """The waiting frames, up to a batch; a DropReason for each that cannot be segmented."""
        try:
            for data, _, control, flags in self._batch.receive(self._socket.fileno()):
                if flags & socket.MSG_TRUNC:  # larger than an IP packet may be
                    yield DropReason.UNSUPPORTED_OFFLOAD
                    continue
                vlan, frame = _vlan_of(control), bytes(data[vnet_hdr.LENGTH :])
                tagged = vlan == 0 or (vlan is None and frame[12:14] == b"\x81\x00")
                if data[: vnet_hdr.LENGTH] == _NO_OFFLOAD and not tagged:
                    yield vlan, frame  # most frames
                else:
                    yield from self._finished(vlan, frame, vnet_hdr.parse(data))
        except OSError as error:
            if error.errno == errno.EINVAL:  # the kernel cannot describe this offload
                yield DropReason.UNSUPPORTED_OFFLOAD
            # Otherwise no frame waits, or the interface is down and may come up again.

    def _finished(
        self, vlan: int | None, frame: bytes, header: vnet_hdr.VnetHeader
    ) -> Iterator[Frame | DropReason]:
        if vlan is None and frame[12:14] == b"\x81\x00" and len(frame) >= 18:
            vlan = int.from_bytes(frame[14:16], "big") & _VLAN_MASK
            frame = frame[:12] + frame[16:]
            header = header._replace(checksum_start=max(0, header.checksum_start - 4))
        vlan = vlan or None  # VLAN 0 is a priority tag: the frame belongs to no VLAN
        if header.is_empty:
            yield vlan, frame
            return
        finished = vnet_hdr.finish(header, frame)
        if finished is None:
            yield DropReason.UNSUPPORTED_OFFLOAD
            return
        for piece in finished:
            yield vlan, piece

    def write(self, vlan: int | None, frame: bytes) -> DropReason | None:
        """Write a frame, tagged with `vlan`; returns the reason if that failed."""
        return self._write(vlan, frame, vnet_hdr.pending_offloads(frame, self.mtu))

    def write_run(self, vlan: int | None, frames: Sequence[bytes]) -> list[DropReason | None]:
        """Write the frames of one run, merged if possible; returns one result for each."""
        fits = (
            len(frames[0]) <= self.mtu + HEADER_LENGTH
        )  # each segment of the merged frame must fit the MTU
        together = merge(frames) if len(frames) > 1 and fits else None
        if together is None:
            return [self.write(vlan, frame) for frame in frames]
        header, whole = together
        return [self._write(vlan, whole, header)] * len(frames)

    def _write(
        self, vlan: int | None, frame: bytes, header: vnet_hdr.VnetHeader | None
    ) -> DropReason | None:
        if vlan is None:
            parts = [_NO_OFFLOAD if header is None else vnet_hdr.pack(header), frame]
        else:
            parts = [_tagged(header), frame[:12], tag(vlan), frame[12:]]
        try:
            self._socket.sendmsg(parts)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return DropReason.TOO_BIG
            busy = error.errno in (errno.EAGAIN, errno.ENOBUFS)
            return DropReason.PORT_BUSY if busy else DropReason.PORT_DOWN
        return None

    def overrun(self) -> int:
        """The number of frames lost before they were read, since the last call."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        return int(struct.unpack("=II", statistics)[1])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _tagged(header: vnet_hdr.VnetHeader | None) -> bytes:
    """The header for a tagged frame: the tag moves all offsets by four bytes."""
    if header is None:
        return _NO_OFFLOAD
    length = header.header_length + 4 if header.header_length else 0
    return vnet_hdr.pack(
        header._replace(header_length=length, checksum_start=header.checksum_start + 4)
    )


def _vlan_of(control: memoryview) -> int | None:
    """The VLAN in the control data, which is PACKET_AUXDATA and nothing else."""
    status, _, _, _, _, tci, _ = _AUX.unpack_from(control, _AUX_AT)
    return int(tci) & _VLAN_MASK if status & _TP_STATUS_VLAN_VALID else None
