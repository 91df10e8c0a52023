"""The Linux kernel as a VTEP: for each VNI, a vxlan device and a bridge with the VMs' port."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vxlab.errors import LabError
from vxlab.system.commands import run
from vxlab.vteps.kind import VtepKind
from vxlab.vteps.service import Row, VtepService, counters, main

# A vxlan device has no VLANs of its own: each segment needs a port without a tag.
KIND = VtepKind("linux", "vxlab.vteps.linux", "the kernel's vxlan device", trunk=False)

_NO_MAC = "00:00:00:00:00:00"  # the kernel's entry for broadcast and unknown unicast
_NUD_NOARP, _NUD_PERMANENT = 0x40, 0x80  # linux/neighbour.h
_NTF_MASTER, _NTF_STICKY = 0x04, 0x40
_TOS_INHERIT = 1  # the value by which IFLA_VXLAN_TOS means "copy the inner TOS"
_TICKS = os.sysconf("SC_CLK_TCK")
_DROPS = ("dropped", "errors")


class LinuxVtep(VtepService):
    """The kernel's vxlan device as a VTEP, configured over netlink."""

    kind = KIND
    # The device accepts packets of any sender, and does not learn the VMs' IP addresses.
    unsupported = ("segment.suppress_arp", "underlay.trusted", "static.several")

    def start(self) -> None:
        """Make the device and the bridge of each segment."""
        # lazy: pyroute2 costs 0.2 s, and every topology imports this module
        from pyroute2 import IPRoute

        # lazy: as above
        from pyroute2.netlink.exceptions import NetlinkError

        self._netlink = IPRoute()
        self._interface = self.underlay["interface"]
        self._disable_offloads()
        try:
            self._remove_devices()  # a VTEP that was killed leaves them
            for segment in self.segments:
                self._add_segment(segment)
        except NetlinkError as error:
            raise LabError(f"vxlan device: {error}") from None

    def _disable_offloads(self) -> None:
        """Let the kernel segment TCP before the packets leave for a userspace Open vSwitch.

        Its userspace datapath does not forward encapsulated frames that are larger than the MTU.
        """
        if not self.underlay.get("offload", True):
            run("ethtool", "-K", self._interface, "tx", "off")

    def _index(self, name: str) -> int:
        found = self._netlink.link_lookup(ifname=name)
        if not found:
            raise LabError(f"{name}: no such interface")
        return int(found[0])

    def _add_segment(self, segment: Row) -> None:
        vni = segment["vni"]
        device, bridge = f"vx{vni}", f"vb{vni}"
        self._netlink.link("add", ifname=device, kind="vxlan", **self._vxlan(segment))
        ageing = self.ageing_s * 100  # the bridge counts in hundredths of a second
        # A snooping bridge joins 224.0.0.106 (RFC 4286). Other VTEPs would learn the bridge's MAC
        # from its IGMP reports, which are flooded into the tunnel like any frame.
        options = {"br_ageing_time": ageing, "br_mcast_snooping": 0}
        self._netlink.link("add", ifname=bridge, kind="bridge", **options)
        for name in (device, bridge):
            _disable_ipv6(name)
        master = self._index(bridge)
        for name in (device, segment["port"]):
            self._netlink.link("set", index=self._index(name), master=master, state="up")
        self._netlink.link("set", index=master, state="up")
        for remote in segment.get("remotes", []):
            index = self._index(device)
            self._netlink.fdb("append", ifindex=index, lladdr=_NO_MAC, dst=remote)
        for row in self.config.get("static", []):
            if row["vni"] == vni:
                self._add_static(self._index(device), row["mac"], row["remote"])

    def _add_static(self, device: int, mac: str, remote: str) -> None:
        """Add a static entry to the vxlan device, and to the bridge.

        The bridge's entry is sticky, so that VM traffic with this source cannot move it.
        """
        self._netlink.fdb("append", ifindex=device, lladdr=mac, dst=remote)
        flags = _NTF_MASTER | _NTF_STICKY
        self._netlink.fdb("replace", ifindex=device, lladdr=mac, flags=flags, state=_NUD_NOARP)

    def _vxlan(self, segment: Row) -> dict[str, Any]:
        """The attributes of a vxlan device: iproute2's names as pyroute2 spells them."""
        six = "6" if ":" in self.underlay["local"] else ""
        first, last = self.source_ports
        attributes = {
            "vxlan_id": segment["vni"],
            "vxlan_link": self._index(self._interface),
            f"vxlan_local{six}": self.underlay["local"],
            "vxlan_port": self.udp_port,
            **self._inheritable(),
            "vxlan_ageing": self.ageing_s,
            "vxlan_learning": True,
            "vxlan_limit": self.mac_limit,
            "vxlan_udp_csum": int(self.checksums),
            "vxlan_udp_zero_csum6_tx": int(not self.checksums),
            "vxlan_udp_zero_csum6_rx": int(not self.checksums),
            "vxlan_port_range": {"low": first, "high": last},
        }
        if "df" in self.underlay:
            attributes["vxlan_df"] = int(self.underlay["df"])
        if "group" in segment:
            attributes[f"vxlan_group{six}"] = segment["group"]
        return attributes

    def _inheritable(self) -> dict[str, Any]:
        """TTL and TOS: fixed values, or those of the inner packet."""
        inherits = self.ttl == "inherit"
        hops = {"vxlan_ttl_inherit": True} if inherits else {"vxlan_ttl": self.ttl}
        return {**hops, "vxlan_tos": _TOS_INHERIT if self.tos == "inherit" else self.tos}

    def end(self) -> None:
        """Remove the devices; the kernel then leaves their groups."""
        self._remove_devices()
        self._netlink.close()

    def _remove_devices(self) -> None:
        for segment in self.segments:
            for name in (f"vx{segment['vni']}", f"vb{segment['vni']}"):
                for index in self._netlink.link_lookup(ifname=name):
                    self._netlink.link("del", index=index)

    def fdb(self) -> list[Row]:
        """Remote entries of the vxlan devices, and local entries of the bridges' ports."""
        devices = {self._index(f"vx{s['vni']}"): s for s in self.segments}
        ports = {self._index(s["port"]): s for s in self.segments}
        rows = []
        for entry in self._netlink.fdb("dump"):
            index, permanent = entry["ifindex"], bool(entry["state"] & _NUD_PERMANENT)
            mac, remote = entry.get_attr("NDA_LLADDR"), entry.get_attr("NDA_DST")
            if index in devices and remote and mac != _NO_MAC:
                kind = "static" if permanent else "learned"
                rows.append(self._row(devices[index], entry, remote, kind))
            elif index in ports and not permanent:
                rows.append(self._row(ports[index], entry, None, "local"))
        return sorted(rows, key=lambda row: (row["vni"], row["mac"]))

    def _row(self, segment: Row, entry: Any, remote: str | None, kind: str) -> Row:
        ages = entry.get_attr("NDA_CACHEINFO") or {}
        return {
            "hypervisor": self.name,
            "vni": segment["vni"],
            "mac": entry.get_attr("NDA_LLADDR"),
            "remote": remote,
            "port": None if remote else segment["port"],
            "kind": kind,
            "age_s": ages.get("ndm_updated", 0) / _TICKS,
        }

    def groups(self) -> list[Row]:
        """The kernel's memberships on the underlay interface."""
        known = _ip("maddr", "show", "dev", self._interface)
        joined = {row.get("address") for links in known for row in links["maddr"]}
        return [
            {"vni": s["vni"], "group": s["group"], "joined": s["group"] in joined}
            for s in self.segments
            if "group" in s
        ]

    def stats(self) -> list[Row]:
        """The devices' counters. The kernel does not count floods and unicast separately."""
        return [self._stats_row(segment["vni"]) for segment in self.segments]

    def _stats_row(self, vni: int) -> Row:
        (link,) = _ip("-s", "link", "show", "dev", f"vx{vni}")
        sent, received = link["stats64"]["tx"], link["stats64"]["rx"]
        unknown = counters(None, None)
        return {
            "hypervisor": self.name,
            "vni": vni,
            "encapsulated": {
                "unicast": counters(sent["packets"], sent["bytes"]),
                "flood": unknown,
            },
            "decapsulated": {
                "unicast": counters(received["packets"], received["bytes"]),
                "flood": unknown,
            },
            "drops": {
                f"{way}_{what}": link["stats64"][way][what]
                for way in ("rx", "tx")
                for what in _DROPS
            },
        }

    def flush(self) -> Row:
        """Remove the learned entries of all devices and bridges."""
        rows = [row for row in self.fdb() if row["kind"] != "static"]
        for row in rows:
            index = self._index(f"vx{row['vni']}" if row["remote"] else row["port"])
            where = {"dst": row["remote"]} if row["remote"] else {"flags": _NTF_MASTER}
            self._netlink.fdb("del", ifindex=index, lladdr=row["mac"], **where)
        return {"removed": len(rows)}


def _disable_ipv6(interface: str) -> None:
    """Keep an interface from sending IPv6 of its own, which others would learn as a VM's MAC."""
    try:
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
    except FileNotFoundError:
        return  # this kernel has no IPv6


def _ip(*arguments: str) -> list[Row]:
    """The rows that an iproute2 command prints as JSON."""
    rows: list[Row] = json.loads(run("ip", "-j", *arguments) or "[]")
    return rows


if __name__ == "__main__":
    main(LinuxVtep)
