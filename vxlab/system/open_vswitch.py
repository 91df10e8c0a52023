"""A lab's own Open vSwitch: ovsdb-server and ovs-vswitchd in its directory and namespaces.

No system service is touched, and two labs never meet. Children find it by OVS_RUNDIR.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.system.directory import LabDirectory

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


def environment(directory: LabDirectory) -> dict[str, str]:
    """The variables by which Open vSwitch's tools find this lab's daemons."""
    folder = str(directory.ovs)
    return {"OVS_RUNDIR": folder, "OVS_DBDIR": folder, "OVS_LOGDIR": str(directory.log("x").parent)}


class OpenVSwitch:
    """The two daemons of one lab."""

    def __init__(self, directory: LabDirectory) -> None:
        self.directory = directory
        self._database = directory.ovs / "db.sock"

    def start(self, tso: bool = True) -> None:
        """Make the database and start both daemons; returns when they serve.

        tso: let the userspace datapath carry super-frames and partial checksums. Without it TCP
        hangs on veth's partial checksums while ping works.
        """
        database = self.directory.ovs / "conf.db"
        self._run("ovsdb-tool", "create", str(database), str(SCHEMA))
        remote = f"--remote=punix:{self._database}"
        self._run("ovsdb-server", str(database), remote, *self._daemon("ovsdb-server"))
        self._run("ovs-vsctl", "--no-wait", "init")
        setting = f"other_config:userspace-tso-enable={str(tso).lower()}"  # read once, at the start
        self._run("ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", setting)
        self.start_vswitchd()

    def start_vswitchd(self) -> None:
        """Start ovs-vswitchd on the database as it is: also after it was killed."""
        self._run("ovs-vswitchd", f"unix:{self._database}", *self._daemon("ovs-vswitchd"))

    def _daemon(self, part: str) -> list[str]:
        log = self.directory.log(part)
        return ["--pidfile", "--detach", "--no-chdir", "-vconsole:off", f"--log-file={log}"]

    def _run(self, *command: str) -> None:
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env={**os.environ, **environment(self.directory)},
            )
        except FileNotFoundError:
            raise LabError(f"{command[0]}: not installed; `make setup` installs it") from None
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise LabError(f"{command[0]}: {reason} (logs: {self.directory.log('x').parent})")


def database_alive(directory: LabDirectory) -> bool:
    """Whether ovsdb-server serves."""
    return rpc.answers(directory.ovs / "db.sock")


def vswitchd_alive(directory: LabDirectory) -> bool:
    """Whether ovs-vswitchd serves; its control socket bears its process id in the name."""
    return any(rpc.answers(path) for path in directory.ovs.glob("ovs-vswitchd.*.ctl"))
