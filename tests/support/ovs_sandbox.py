"""Real Open vSwitch (userspace datapath) and a real controller in namespaces of their own.

For tests of the controller alone: hosts are network namespaces at ports of bridges. Everything ends
with the sandbox's first process. It needs root, Open vSwitch, iproute2 and /dev/net/tun.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.poll import eventually

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

# Joins and leaves groups as requested on stdin ("+239.1.1.1", "-ff05::1"); prints each datagram.
_MEMBER = """
import socket, sys, threading
own, six = sys.argv[1], ":" in sys.argv[1]
index = socket.if_nametoindex("eth0").to_bytes(4, sys.byteorder)
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5000))
def receive():
    while True:
        data, peer = s.recvfrom(2000)
        print(data.decode(), flush=True)
threading.Thread(target=receive, daemon=True).start()
for line in sys.stdin:
    group = line[1:].strip()
    if six:
        what = socket.IPV6_JOIN_GROUP if line[0] == "+" else socket.IPV6_LEAVE_GROUP
        s.setsockopt(socket.IPPROTO_IPV6, what, socket.inet_pton(socket.AF_INET6, group) + index)
    else:
        what = socket.IP_ADD_MEMBERSHIP if line[0] == "+" else socket.IP_DROP_MEMBERSHIP
        s.setsockopt(socket.IPPROTO_IP, what, socket.inet_aton(group) + socket.inet_aton(own))
"""

# Addresses are never tentative, and a report is repeated after milliseconds instead of seconds.
_PROMPT_IPV6 = (
    "router_solicitations=0",
    "accept_dad=0",
    "mldv1_unsolicited_report_interval=10",
    "mldv2_unsolicited_report_interval=10",
)

_SEND = """
import socket, sys
own, group, first, count = sys.argv[1:]
if ":" in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 16)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
for number in range(int(first), int(first) + int(count)):
    s.sendto(str(number).encode(), (group, 5000))
"""


def _child(process: subprocess.Popen[bytes]) -> int:
    """The process that `unshare` or `nsenter` forked."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(children.read_text().split()[0])


class Host:
    """A network namespace with one address, and a process in it that joins groups."""

    def __init__(self, sandbox: OvsSandbox, name: str, address: str) -> None:
        self.name, self.address = name, address
        self._sandbox = sandbox
        self._log = sandbox.directory / f"{name}.received"
        with self._log.open("w") as log:
            self._member = sandbox.spawn(
                self._inside(sys.executable, "-c", _MEMBER, address), stdout=log
            )

    def _inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str) -> str:
        """Run a command in the host; raises when it fails."""
        return self._sandbox.run(*self._inside(*command))

    def join(self, group: str) -> None:
        """Let the kernel join a group; it sends the reports."""
        self._request("+" + group)

    def leave(self, group: str) -> None:
        """Let the kernel leave a group."""
        self._request("-" + group)

    def _request(self, line: str) -> None:
        assert self._member.stdin is not None
        self._member.stdin.write(line.encode() + b"\n")
        self._member.stdin.flush()

    def send(self, group: str, first: int, count: int = 1) -> None:
        """Send numbered datagrams to a group of either family."""
        self.run(sys.executable, "-c", _SEND, self.address, group, str(first), str(count))

    def ping(self, other: Host) -> None:
        """One echo request and reply; raises when it fails."""
        self.run("ping", "-c1", "-W2", other.address)

    def received(self) -> list[int]:
        """The numbers of the datagrams that have arrived so far."""
        return [int(line) for line in self._log.read_text().split()]

    def await_received(self, numbers: list[int]) -> None:
        """Wait until exactly these datagrams have arrived."""

        def check() -> None:
            assert self.received() == numbers

        eventually(check, within=5)

    def reporting_address(self) -> str:
        """The source address of the kernel's reports: MLD uses the link-local address."""
        if ":" not in self.address:
            return self.address
        shown = json.loads(self.run("ip", "-j", "-6", "address", "show", "eth0", "scope", "link"))
        rows = shown[0]["addr_info"]  # iproute2 adds empty rows for addresses of other scopes
        return next(str(row["local"]) for row in rows if "local" in row)

    def stop_sending(self) -> None:
        """Drop everything the host sends from now on, including reports."""
        self.run("tc", "qdisc", "replace", "dev", "eth0", "root", "pfifo", "limit", "0")

    def frames(self) -> int:
        """The number of frames that the interface has received, to any address."""
        links = json.loads(self.run("ip", "-j", "-s", "link", "show", "eth0"))
        return int(links[0]["stats64"]["rx"]["packets"])


class OvsSandbox:
    """Namespaces with Open vSwitch in them; a context manager."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="ovs-")
        self.directory = Path(self._temporary.name)
        self.control = self.directory / "controller.sock"
        self.log = self.directory / "controller.log"
        self.controller: subprocess.Popen[bytes] | None = None
        self._dpids: dict[str, int] = {}
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        self._environment = os.environ | {name: str(self.directory) for name in names}

    def __enter__(self) -> OvsSandbox:
        ready = self.directory / "ready"
        # The interfaces of the switches have no IPv6: the switches would learn their addresses.
        prepare = (
            "mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && "
            "for which in all default; do "
            "echo 1 > /proc/sys/net/ipv6/conf/$which/disable_ipv6; done && "
            f": > {ready}"
        )
        command = ["unshare", "-nmp", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
        self._first = subprocess.Popen([*command, f"{prepare} && exec sleep infinity"])

        def check() -> None:
            assert ready.exists(), "the namespaces have not been created"

        eventually(check, within=5)
        self._inner = str(_child(self._first))
        self.start_vswitch(fresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._first.kill()
        self._first.wait()
        if self.controller is not None:
            self.controller.wait()
        self._temporary.cleanup()

    def _enter(self, command: list[str]) -> list[str]:
        return ["nsenter", "-t", self._inner, "-n", "-m", "-p", f"--wd={ROOT}", *command]

    def run(self, *command: str) -> str:
        """Run a command inside; raises with its output when it fails."""
        done = subprocess.run(
            self._enter(list(command)), env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def spawn(self, command: list[str], **streams: Any) -> subprocess.Popen[bytes]:
        """Start a process inside, which ends with the sandbox."""
        return subprocess.Popen(
            self._enter(command),
            env=self._environment,
            stdin=subprocess.PIPE,
            **streams,
        )

    def start_vswitch(self, fresh: bool = False) -> None:
        """Start ovsdb-server (if `fresh`) and ovs-vswitchd, which restores its bridges."""
        database = str(self.directory / "conf.db")
        common = ["--detach", "--no-chdir", "--pidfile", "--log-file"]
        if fresh:
            self.run("ovsdb-tool", "create", database, SCHEMA)
            remote = f"--remote=punix:{self.directory}/db.sock"
            self.run("ovsdb-server", *common, remote, database)
            # Without it the userspace datapath drops UDP from veth, whose checksums are partial.
            checksums = "other_config:userspace-tso-enable=true"
            self.run("ovs-vsctl", "--no-wait", "init", "--", "set", "Open_vSwitch", ".", checksums)
        self.run("ovs-vswitchd", *common)

    def kill_vswitch(self) -> None:
        """Kill ovs-vswitchd; all flows are lost."""
        self.run("kill", "-9", (self.directory / "ovs-vswitchd.pid").read_text().strip())

    def add_switch(self, name: str, dpid: int) -> None:
        """Add a bridge that connects to the controller."""
        self._dpids[name] = dpid
        settings = f"datapath_type=netdev fail_mode=secure other-config:datapath-id={dpid:016x}"
        target = ["--", "set-controller", name, "tcp:127.0.0.1:6653"]
        options = ["protocols=OpenFlow13", *settings.split(), "other-config:disable-in-band=true"]
        self.run("ovs-vsctl", "add-br", name, "--", "set", "bridge", name, *options, *target)
        self.run("ovs-vsctl", "set", "controller", name, "max_backoff=1000")

    def add_link(self, first: str, second: str) -> None:
        """Add a veth pair between two bridges; its interfaces are `s1-s2` and `s2-s1`."""
        ends = (f"{first}-{second}", f"{second}-{first}")
        self.run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for switch, end in zip((first, second), ends, strict=True):
            self.run("ip", "link", "set", end, "up")
            self.run("ovs-vsctl", "add-port", switch, end)

    def add_host(self, name: str, switch: str, address: str) -> Host:
        """Add a namespace at a bridge's port `p-NAME`.

        A host with an IPv4 address has no IPv6. A host with an IPv6 address sends its unsolicited
        reports at once, so that all later reports answer a query.
        """
        self.run("ip", "netns", "add", name)
        inside = ["ip", "netns", "exec", name]
        six = ":" in address
        sysctls = _PROMPT_IPV6 if six else ("disable_ipv6=1",)
        for setting in sysctls:
            self.run(*inside, "sysctl", "-qw", f"net.ipv6.conf.default.{setting}")
        port = f"p-{name}"
        peer = ["peer", "name", "eth0", "netns", name]
        self.run("ip", "link", "add", port, "type", "veth", *peer)
        plain = [f"{address}/64", "nodad"] if six else [f"{address}/24"]
        self.run(*inside, "ip", "address", "add", *plain, "dev", "eth0")
        self.run(*inside, "ip", "link", "set", "eth0", "up")
        if not six:  # IPv6 has its multicast route with the interface
            self.run(*inside, "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
        self.run("ip", "link", "set", port, "up")
        self.run("ovs-vsctl", "add-port", switch, port)
        return Host(self, name, address)

    def start_controller(self, framework: str | None = "ryu", *options: str) -> None:
        """Start `python -m controller`; its log goes to `self.log`.

        The controller selects the framework itself if it is None.
        """
        listen = ["--listen", "127.0.0.1:6653", "--control", str(self.control)]
        requested = ["--framework", framework] if framework else []
        command = [sys.executable, "-m", "controller", *listen, *requested, *options]
        with self.log.open("ab") as log:
            self.controller = self.spawn(command, stdout=log, stderr=log)

    def set_environment(self, name: str, value: str) -> None:
        """Set a variable for the processes that are started from now on."""
        self._environment[name] = value

    def kill_controller(self, number: int = signal.SIGKILL) -> int:
        """Send a signal to the controller, wait for its end and return its exit status."""
        assert self.controller is not None
        os.kill(_child(self.controller), number)
        return self.controller.wait(timeout=5)

    def ask(self, command: str) -> Any:
        """The result of a command of the controller's control socket."""
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.control))
            except OSError as error:
                raise AssertionError(f"{error}: {self.log_tail()}") from error
            client.sendall(json.dumps({"do": command}).encode() + b"\n")
            answer = json.loads(client.makefile().readline())
        assert answer["ok"], answer
        return answer["result"]

    def await_listening(self) -> None:
        """Wait until the controller answers; switches that are added later connect at once."""
        eventually(lambda: self.ask("ready"), within=10)

    def await_ready(self, within: float = 15) -> None:
        """Wait until every switch is connected and has its flows."""

        def check() -> None:
            assert self.ask("ready")["switches"] == sorted(self._dpids.values()), self.log_tail()

        eventually(check, within=within)

    def log_tail(self) -> str:
        """The end of the controller's log, for the messages of assertions."""
        return self.log.read_text()[-2000:] if self.log.exists() else "no log"

    def flows(self, switch: str) -> list[str]:
        """The switch's flows without their counters, sorted."""
        text = self.run("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", switch)
        return sorted(line.strip() for line in text.splitlines() if "cookie" in line)

    def members(self, dpid: int, group: str) -> set[str]:
        """Names of the ports that a group's packets leave a switch by, from the controller."""
        rows = [row for row in self.ask("groups") if (row["dpid"], row["group"]) == (dpid, group)]
        return {port["name"] for row in rows for port in row["ports"]}

    def reporters(self, group: str) -> list[str]:
        """The addresses that reported a group, at all switches."""
        rows = [row for row in self.ask("groups") if row["group"] == group]
        return [address for row in rows for port in row["ports"] for address in port["reporters"]]

    def await_members(self, group: str, expected: dict[int, set[str]]) -> None:
        """Wait until a group's packets leave each switch (by dpid) by exactly these ports."""

        def check() -> None:
            found = {dpid: self.members(dpid, group) for dpid in expected}
            assert found == expected, self.log_tail()

        eventually(check, within=10)

    def await_reporters(self, group: str, addresses: list[str]) -> None:
        """Wait until exactly these hosts have reported the group to this controller.

        A membership that was restored from a flow has no reporters before.
        """

        def check() -> None:
            assert self.reporters(group) == addresses, self.log_tail()

        eventually(check, within=10)
