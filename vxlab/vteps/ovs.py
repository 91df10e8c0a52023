"""Open vSwitch as a VTEP: vxlan ports in a bridge of its own, in the hypervisor's namespace.

Open vSwitch does not support multicast for VXLAN. Each segment has a list of remotes, and a tunnel
port for each remote. Tunnel ports are protected ports: the bridge never forwards a frame from one
to another.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
from pathlib import Path

from vxlab.errors import UsageError
from vxlab.system.commands import run
from vxlab.system.directory import LabDirectory
from vxlab.system.open_vswitch import OpenVSwitch, environment
from vxlab.vteps.kind import VtepKind
from vxlab.vteps.service import Row, VtepService, counters, main

KIND = VtepKind(
    "ovs",
    "vxlab.vteps.ovs",
    "an Open vSwitch vxlan port",
    multicast=False,
    offloads=False,  # its tunnels do not take frames that still need checksums or segmentation
)

BRIDGE, UNDERLAY_BRIDGE = "vtep", "phy"
ENDS_WITHIN_S = 5.0
_SHORTEST_AGEING_S = 15  # ovs-vswitchd.conf.db(5)
_LINE = re.compile(r"\s*(\d+|LOCAL)\s+(\d+)\s+([0-9a-f:]{17})\s+(\d+|static)")


class OvsVtep(VtepService):
    """Open vSwitch's vxlan ports as a VTEP, with head-end replication."""

    kind = KIND
    # The MAC limit is one for the whole bridge, and the shortest ageing time is 15 s.
    unsupported = (
        *("fdb.ageing_s", "fdb.limit"),
        *("segment.inner_tags", "segment.suppress_arp"),
        *("underlay.trusted", "underlay.source_ports", "static.several"),
    )

    def start(self) -> None:
        """Start a separate Open vSwitch, and make the bridge and the tunnels."""
        for segment in self.segments:
            if "remotes" not in segment:
                raise UsageError(
                    f"segment {segment['vni']}: has no `remotes`; Open vSwitch needs a list, "
                    "since it does not support multicast for VXLAN"
                )
        self._directory = LabDirectory(Path(self.config["control"]).with_suffix(".ovs"))
        os.environ.update(environment(self._directory))
        self._end_daemons()  # a VTEP that was killed leaves them
        self._directory.make_folders()
        # A lab sets offload = true where it uses the kernel datapath; then so does this VTEP.
        self._userspace = not self.underlay.get("offload", False)
        run("ip", "link", "set", "lo", "up")
        # Tunnels do not work with userspace TSO: they drop frames that need segmentation.
        OpenVSwitch(self._directory).start(tso=False)
        if self._userspace:
            self._take_underlay()
        _vsctl("add-br", BRIDGE, *self._datapath(BRIDGE))
        for port in self.config["port"]:
            _vsctl("add-port", BRIDGE, port["interface"])
        for segment in self.segments:
            self._add_segment(segment)

    def _datapath(self, bridge: str) -> list[str]:
        ageing = f"other_config:mac-aging-time={max(_SHORTEST_AGEING_S, self.ageing_s)}"
        settings = ["--", "set", "Bridge", bridge, ageing]
        return [*settings, "datapath_type=netdev"] if self._userspace else settings

    def _take_underlay(self) -> None:
        """Move the local address to a bridge: the userspace datapath sends tunnels through one."""
        interface = self.underlay["interface"]
        hwaddr = f"other_config:hwaddr={_mac(interface)}"
        bridge = [UNDERLAY_BRIDGE, *self._datapath(UNDERLAY_BRIDGE), hwaddr]
        _vsctl("add-br", *bridge, "--", "add-port", UNDERLAY_BRIDGE, interface)
        six = ":" in self.underlay["local"]
        if six:
            # With IPv6 on, the NIC would answer neighbour solicitations as well as the bridge.
            _set_ipv6(interface, disabled=1)
            _set_ipv6(UNDERLAY_BRIDGE, disabled=0)
        prefix = "64" if six else "24"
        for command in (
            f"ip addr flush dev {interface}",
            f"ip addr add {self.underlay['local']}/{prefix} dev {UNDERLAY_BRIDGE}",
            f"ip link set {UNDERLAY_BRIDGE} up",
        ):
            run(*command.split())

    def _add_segment(self, segment: Row) -> None:
        tag = [f"tag={segment['vlan']}"] if "vlan" in segment else []
        for number, remote in enumerate(segment["remotes"]):
            name = _tunnel(segment["vni"], number)
            options = {
                "key": segment["vni"],
                "remote_ip": remote,
                "local_ip": self.underlay["local"],
                "dst_port": self.udp_port,
                "ttl": self.ttl,
                "tos": self.tos,
                "df_default": str(self.underlay.get("df", True)).lower(),
            }
            if self.checksums:
                options["csum"] = "true"
            words = [f'options:{key}="{value}"' for key, value in options.items()]
            port = ["--", "set", "Port", name, "protected=true"]
            interface = ["--", "set", "Interface", name, "type=vxlan", *words]
            _vsctl("add-port", BRIDGE, name, *tag, *port, *interface)
        for row in self.config.get("static", []):
            if row["vni"] == segment["vni"]:
                name = _tunnel(row["vni"], segment["remotes"].index(row["remote"]))
                run("ovs-appctl", "fdb/add", BRIDGE, name, str(segment.get("vlan", 0)), row["mac"])

    def end(self) -> None:
        """End the daemons, and with them what they made."""
        self._end_daemons()

    def _end_daemons(self) -> None:
        # Without --cleanup the bridges' interfaces stay, and keep the local address.
        self._end_daemon("ovs-vswitchd", "--cleanup")
        self._end_daemon("ovsdb-server")
        self._directory.remove()

    def _end_daemon(self, daemon: str, *how: str) -> None:
        """End a daemon and wait: it removes its pid file last, which could be its successor's."""
        try:
            process = os.pidfd_open(int((self._directory.ovs / f"{daemon}.pid").read_text()))
        except OSError:
            return  # it has ended already
        subprocess.run(["ovs-appctl", "-t", daemon, "exit", *how], check=False)
        select.select([process], [], [], ENDS_WITHIN_S)
        os.close(process)

    def _tunnels(self) -> dict[str, tuple[int, str]]:
        """OpenFlow port -> (VNI, remote)."""
        return {
            _vsctl("get", "Interface", _tunnel(s["vni"], number), "ofport"): (s["vni"], remote)
            for s in self.segments
            for number, remote in enumerate(s["remotes"])
        }

    def fdb(self) -> list[Row]:
        """The bridge's table, with the remote of each tunnel port."""
        tunnels = self._tunnels()
        by_vlan = {str(s.get("vlan", 0)): s["vni"] for s in self.segments}
        output = run("ovs-appctl", "fdb/show", BRIDGE)
        rows = []
        for port, vlan, mac, age in _LINE.findall(output):
            vni, remote = tunnels.get(port, (by_vlan.get(vlan), None))
            if vni is not None:
                rows.append(self._row(vni, mac, remote, vlan, age))
        return sorted(rows, key=lambda row: (row["vni"], row["mac"]))

    def _row(self, vni: int, mac: str, remote: str | None, vlan: str, age: str) -> Row:
        return {
            "hypervisor": self.name,
            "vni": vni,
            "mac": mac,
            "remote": remote,
            "port": None if remote else f"vlan {vlan}",
            "kind": "static" if age == "static" else "learned" if remote else "local",
            "age_s": 0.0 if age == "static" else float(age),
        }

    def groups(self) -> list[Row]:
        """Empty: Open vSwitch does not support multicast for VXLAN."""
        return []

    def stats(self) -> list[Row]:
        """The sums of the tunnel ports' counters. They do not count floods separately."""
        return [self._stats_row(segment) for segment in self.segments]

    def _stats_row(self, segment: Row) -> Row:
        total = dict.fromkeys(
            ("rx_pkts", "rx_bytes", "rx_drop", "tx_pkts", "tx_bytes", "tx_drop"), 0
        )
        for number in range(len(segment["remotes"])):
            output = run("ovs-ofctl", "dump-ports", BRIDGE, _tunnel(segment["vni"], number))
            for way, counts in re.findall(r"(rx|tx) (pkts=.*)", output):
                for key, value in re.findall(r"(pkts|bytes|drop)=(\d+)", counts):
                    total[f"{way}_{key}"] += int(value)
        unknown = counters(None, None)
        sent = counters(total["tx_pkts"], total["tx_bytes"])
        received = counters(total["rx_pkts"], total["rx_bytes"])
        return {
            "hypervisor": self.name,
            "vni": segment["vni"],
            "encapsulated": {"unicast": sent, "flood": unknown},
            "decapsulated": {"unicast": received, "flood": unknown},
            "drops": {key: total[key] for key in ("rx_drop", "tx_drop")},
        }

    def flush(self) -> Row:
        """Remove the learned entries."""
        removed = len([row for row in self.fdb() if row["kind"] != "static"])
        run("ovs-appctl", "fdb/flush", BRIDGE)
        return {"removed": removed}


def _set_ipv6(interface: str, disabled: int) -> None:
    settings = Path("/proc/sys/net/ipv6/conf") / interface
    (settings / "accept_dad").write_text("0")
    (settings / "router_solicitations").write_text("0")
    (settings / "disable_ipv6").write_text(str(disabled))


def _mac(interface: str) -> str:
    return run("ip", "-br", "link", "show", "dev", interface).split()[2]


def _tunnel(vni: int, number: int) -> str:
    return f"t{vni}-{number}"


def _vsctl(*arguments: str) -> str:
    return run("ovs-vsctl", *arguments).strip()


if __name__ == "__main__":
    main(OvsVtep)
