"""Makes the packets of one test bed: addresses of its setup, MACs that no row has used before."""

from __future__ import annotations

import itertools
from typing import Any

from vxlab.conformance import frames
from vxlab.conformance.frames import Outer
from vxlab.conformance.setups import Setup

_VM, _REMOTE = 0x4C, 0x57  # second byte of the MACs: local VM, or VM behind a remote VTEP


class PacketMaker:
    """Packets to the VTEP under test."""

    def __init__(self, setup: Setup, own_mac: str) -> None:
        """own_mac: of the VTEP's underlay interface."""
        self.setup = setup
        self._own_mac = own_mac
        self._numbers = itertools.count(1)

    def vm_mac(self) -> str:
        """A fresh MAC for a VM at the VM port."""
        return self._mac(_VM)

    def remote_mac(self) -> str:
        """A fresh MAC for a VM behind a remote VTEP."""
        return self._mac(_REMOTE)

    def _mac(self, kind: int) -> str:
        number = next(self._numbers).to_bytes(3, "big").hex(":")
        return f"02:{kind:02x}:00:{number}"

    def outer(self, remote: int = 0, to: str | None = None, **fields: Any) -> Outer:
        """Outer headers from a remote VTEP to the VTEP under test.

        remote: which of the setup's remotes sends. to: another destination, such as a group.
        fields: of `Outer`, to replace its defaults.
        """
        if self.setup.ipv6:
            fields.setdefault("udp_checksum", None)  # RFC 8200 section 8.1: not optional
        given = {
            "source": self.setup.remotes[remote],
            "destination": to or self.setup.own,
            "port": self.setup.port,
            "own_mac": self._own_mac,
            "vlan": self.setup.vlan,
        }
        return Outer(**{**given, **fields})

    def vxlan(self, inner: bytes, vni: int | None = None, **fields: Any) -> bytes:
        """A valid VXLAN packet around an inner frame.

        vni: None means the first segment's. fields: as for `outer`.
        """
        number = self.setup.segments[0].vni if vni is None else vni
        return self.outer(**fields).packet(frames.vxlan_header(number) + inner)
