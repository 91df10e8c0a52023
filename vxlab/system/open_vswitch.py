"""A lab's own Open vSwitch: ovsdb-server and ovs-vswitchd in its directory and namespaces.

No system service is touched, and two labs do not interfere. Child processes find the daemons by
OVS_RUNDIR.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.system.directory import LabDirectory
from vxlab.waiting import BUDGET_S

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

        tso: whether the userspace datapath carries super-frames and partial checksums. Without it
        TCP hangs, since veth hands over frames with partial checksums, while ping works.
        """
        database = self.directory.ovs / "conf.db"
        self._run("ovsdb-tool", "create", str(database), str(SCHEMA))
        remote = f"--remote=punix:{self._database}"
        self._run("ovsdb-server", str(database), remote, *self._daemon("ovsdb-server"))
        self._run("ovs-vsctl", "--no-wait", "init")
        # vswitchd reads it once, when it starts.
        setting = f"other_config:userspace-tso-enable={str(tso).lower()}"
        self._run("ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", setting)
        self.start_vswitchd()

    def start_vswitchd(self) -> None:
        """Start ovs-vswitchd on the database as it is."""
        self._run("ovs-vswitchd", f"unix:{self._database}", *self._daemon("ovs-vswitchd"))

    def restart_vswitchd(self) -> None:
        """Start ovs-vswitchd again, whether it runs, hangs or was killed."""
        self._stop_vswitchd()
        self.start_vswitchd()

    def _stop_vswitchd(self) -> None:
        """End ovs-vswitchd, wait for its end and remove what it leaves when it is killed.

        A second one refuses to start while the process in the pid file exists, be it ending or not
        yet reaped.
        """
        pid_file = self.directory.ovs / "ovs-vswitchd.pid"
        if pid_file.exists():
            _end(int(pid_file.read_text()), "ovs-vswitchd")
        pid_file.unlink(missing_ok=True)
        for control in self.directory.ovs.glob("ovs-vswitchd.*.ctl"):
            control.unlink(missing_ok=True)

    def _daemon(self, component: str) -> list[str]:
        log = self.directory.log(component)
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
            fix = "`vxlab doctor` shows the command that installs it"
            raise LabError(f"{command[0]}: not installed; {fix}") from None
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise LabError(f"{command[0]}: {reason} (logs: {self.directory.log('x').parent})")


def _end(pid: int, name: str) -> None:
    """End a process by SIGTERM, or SIGKILL if that does not help, and wait for its end.

    Nothing happens if it has ended. name: the process's, since its number may have a new owner.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if Path(f"/proc/{pid}/comm").read_text().strip() != name:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(process, number)
            if select.select([process], [], [], BUDGET_S["process ends"])[0]:
                return
        raise LabError(f"{name}: process {pid} does not end")
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended meanwhile
    finally:
        os.close(process)


def database_alive(directory: LabDirectory) -> bool:
    """Whether ovsdb-server serves."""
    return rpc.answers(directory.ovs / "db.sock")


def vswitchd_alive(directory: LabDirectory) -> bool:
    """Whether ovs-vswitchd serves; its control socket has its process id in the name."""
    return any(rpc.answers(path) for path in directory.ovs.glob("ovs-vswitchd.*.ctl"))
