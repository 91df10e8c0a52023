"""Node classes that start their own programs, for plain Mininet:

    mn --custom topologies/three_vteps.py --topo three_vteps --controller vxlab

`mn` builds the nodes, configures the hosts and starts the switches, and nothing more. So here a
hypervisor starts its VTEP agent when it is configured, and the controller node starts the
controller. `vxlab up` starts both as explicit steps and uses the base classes of these two.

Differences from `vxlab up`: Open vSwitch is the system's, agents are not forked from one process,
and no `vxlab` command finds the lab. Logs and control sockets are in $TMPDIR/vxlab-mn-PID.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from vxlab.control import rpc
from vxlab.errors import LabError
from vxlab.nodes.controllers import CONTROLLER_PORT, ExternalController
from vxlab.nodes.hosts import HypervisorNode
from vxlab.nodes.switches import default_ovs_datapath
from vxlab.system import programs
from vxlab.system.directory import LabDirectory
from vxlab.waiting import await_condition


class StandaloneHypervisor(HypervisorNode):
    """A hypervisor that runs its VTEP agent itself."""

    def __init__(
        self,
        name: str,
        vtep_module: str = "vtep",
        vtep_config: Callable[[str, bool], str] = lambda control, offload: "",
        **params: Any,
    ) -> None:
        """Make it.

        vtep_module: run as `python -m MODULE --config FILE`.
        vtep_config: from (path of the control socket, whether the switches take super-frames) to
        the text of FILE. Both are known only here.
        """
        self._module = vtep_module
        self._config = vtep_config
        self._agent: subprocess.Popen[bytes] | None = None
        super().__init__(name, **params)

    def config(self, mac: str = "", ip: str = "", **params: Any) -> dict[str, Any]:
        """Configure the underlay NIC and start the agent."""
        result = super().config(mac, ip, **params)
        directory = LabDirectory.for_plain_mininet()
        file = directory.agent_config(self.name)
        offload = default_ovs_datapath() == "kernel"
        file.write_text(self._config(str(directory.agent_socket(self.name)), offload))
        command = programs.module(self._module, "--config", str(file))
        inside = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        self._agent = programs.spawn([*inside, *command], directory.log(self.name))
        return result

    def terminate(self) -> None:
        """End the agent before its namespace goes."""
        if self._agent is not None:
            self._agent.terminate()
            self._agent.wait()
        super().terminate()


class UnderlayController(ExternalController):
    """The underlay's controller, with its process."""

    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the controller and wait until it listens, so that switches connect at once."""
        directory = LabDirectory.for_plain_mininet()
        control, log = directory.controller_socket, directory.log("controller")
        listen = f"127.0.0.1:{CONTROLLER_PORT}"
        command = programs.module("controller", "--listen", listen, "--control", str(control))
        process = self._process = programs.spawn(command, log)

        def unmet() -> str | None:
            if rpc.answers(control):
                return None
            if process.poll() is not None:
                raise LabError(f"controller ended: {programs.last_line(log)} (log: {log})")
            return f"the controller does not answer yet (log: {log})"

        await_condition(unmet, "controller listens")

    def stop(self, *_args: Any, **_params: Any) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        super().stop()
