"""A VTEP of the kernel: a vxlan device for each VNI, bridged with the port towards the VMs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vxlab.errors import LabError
from vxlab.vteps.service import Row, VtepService, counters, main

_NO_MAC = "00:00:00:00:00:00"
_NUD_NOARP, _NUD_PERMANENT = 0x40, 0x80
_NTF_MASTER, _NTF_STICKY = 0x04, 0x40
_TOS_INHERIT = 1  # as the kernel writes it
_TICKS = os.sysconf("SC_CLK_TCK")
_DROPS = ("dropped", "errors")


class LinuxVtep(VtepService):
    """The kernel's vxlan device as a VTEP, set up by netlink."""

    kind = "linux"
    # It listens to everybody, and learns no addresses of VMs that it could answer for.
    unsupported = ("segment.suppress_arp", "underlay.trusted", "static.several")

    def start(self) -> None:
        """Make device and bridge of each segment."""
        self._netlink = IPRoute()
        self._interface = self.underlay["interface"]
        self._without_offloads()
        try:
            self._remove_devices()  # one that was killed leaves them
            for segment in self.segments:
                self._carry(segment)
        except NetlinkError as error:
            raise LabError(f"vxlan device: {error}") from None

    def _without_offloads(self) -> None:
        """Cut super-frames here: Open vSwitch's userspace datapath does not take them."""
        if not self.underlay.get("offload", True):
            command = ["ethtool", "-K", self._interface, "tx", "off"]
            subprocess.run(command, check=True, capture_output=True)

    def _index(self, name: str) -> int:
        found = self._netlink.link_lookup(ifname=name)
        if not found:
            raise LabError(f"{name}: no such interface")
        return int(found[0])

    def _carry(self, segment: Row) -> None:
        vni = segment["vni"]
        device, bridge = f"vx{vni}", f"vb{vni}"
        self._netlink.link("add", ifname=device, kind="vxlan", **self._vxlan(segment))
        ageing = self.ageing_s * 100
        self._netlink.link("add", ifname=bridge, kind="bridge", br_ageing_time=ageing)
        for name in (device, bridge):
            _without_ipv6(name)
        master = self._index(bridge)
        for name in (device, segment["port"]):
            self._netlink.link("set", index=self._index(name), master=master, state="up")
        self._netlink.link("set", index=master, state="up")
        for remote in segment.get("remotes", []):
            index = self._index(device)
            self._netlink.fdb("append", ifindex=index, lladdr=_NO_MAC, dst=remote)
        for row in self.config.get("static", []):
            if row["vni"] == vni:
                self._pin(self._index(device), row["mac"], row["remote"])

    def _pin(self, device: int, mac: str, remote: str) -> None:
        """A static row: of the vxlan device, and of the bridge, lest a VM's word moves it there."""
        self._netlink.fdb("append", ifindex=device, lladdr=mac, dst=remote)
        flags = _NTF_MASTER | _NTF_STICKY
        self._netlink.fdb("replace", ifindex=device, lladdr=mac, flags=flags, state=_NUD_NOARP)

    def _vxlan(self, segment: Row) -> dict[str, Any]:
        """The attributes of a vxlan device (iproute2's words in netlink's spelling)."""
        six = "6" if ":" in self.underlay["local"] else ""
        first, last = self.underlay.get("source_ports", [49152, 65535])
        attributes = {
            "vxlan_id": segment["vni"],
            "vxlan_link": self._index(self._interface),
            f"vxlan_local{six}": self.underlay["local"],
            "vxlan_port": self.underlay.get("port", 4789),
            **self._inheritable(),
            "vxlan_ageing": self.ageing_s,
            "vxlan_learning": True,
            "vxlan_limit": self.config.get("fdb", {}).get("limit", 65_536),
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
        """TTL and TOS: of the file, or of the inner packet."""
        ttl, tos = self.underlay.get("ttl", 64), self.underlay.get("tos", 0)
        hops = {"vxlan_ttl_inherit": True} if ttl == "inherit" else {"vxlan_ttl": ttl}
        return {**hops, "vxlan_tos": _TOS_INHERIT if tos == "inherit" else tos}

    def end(self) -> None:
        """Remove the devices; the kernel leaves their groups."""
        self._remove_devices()
        self._netlink.close()

    def _remove_devices(self) -> None:
        for segment in self.segments:
            for name in (f"vx{segment['vni']}", f"vb{segment['vni']}"):
                for index in self._netlink.link_lookup(ifname=name):
                    self._netlink.link("del", index=index)

    def fdb(self) -> list[Row]:
        """Remote rows of the vxlan devices, local rows of the bridges' ports."""
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
        """As the kernel lists the memberships of the underlay interface."""
        known = _ip("maddr", "show", "dev", self._interface)
        joined = {row.get("address") for links in known for row in links["maddr"]}
        return [
            {"vni": s["vni"], "group": s["group"], "joined": s["group"] in joined}
            for s in self.segments
            if "group" in s
        ]

    def stats(self) -> list[Row]:
        """The devices' counters; they do not tell flood from unicast."""
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
        """Forget the learned rows of all devices and bridges."""
        rows = [row for row in self.fdb() if row["kind"] != "static"]
        for row in rows:
            index = self._index(f"vx{row['vni']}" if row["remote"] else row["port"])
            where = {"dst": row["remote"]} if row["remote"] else {"flags": _NTF_MASTER}
            self._netlink.fdb("del", ifindex=index, lladdr=row["mac"], **where)
        return {"removed": len(rows)}


def _without_ipv6(interface: str) -> None:
    """No host lives on a VTEP's devices: what they say of themselves would be learned as a VM."""
    try:
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
    except FileNotFoundError:
        return  # this kernel knows no IPv6


def _ip(*words: str) -> list[Row]:
    """What iproute2 says, read from its JSON."""
    done = subprocess.run(["ip", "-j", *words], capture_output=True, text=True, check=True)
    rows: list[Row] = json.loads(done.stdout or "[]")
    return rows


if __name__ == "__main__":
    main(LinuxVtep)
