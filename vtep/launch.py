"""From a configuration file to an agent that runs, and to an exit status when it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vtep import config
from vtep.agent import Agent
from vtep.checks import ConfigError
from vtep.errors import StartError
from vtep.log import log


def launch(path: str, datapath: str | None = None) -> int:
    """Run one agent until told to stop; 0 in order, 1 the machine forbids, 2 the file is wrong.

    datapath: another than the file says.
    """
    try:
        parsed = config.parse(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        log(f"error: {path}: {error.strerror}")
        return 2
    except UnicodeDecodeError as error:
        log(f"error: {path}: no TOML: byte {error.start} is not UTF-8")
        return 2
    except ConfigError as error:
        log(f"error: {path}: {error}")
        return 2
    if datapath is not None:
        parsed = replace(parsed, datapath=datapath)
    try:
        agent = Agent(parsed)
    except StartError as error:
        log(f"error: {error}")
        return 1
    vnis = len(agent.core.segments.by_vni)
    log(f"{agent.name}: {vnis} VNIs over {parsed.underlay.interface} ({parsed.underlay.local})")
    log(f"{agent.name}: data path {agent.data_path.name}: {agent.data_path.reason}")
    agent.run()
    log(f"{agent.name}: ended in order")
    return 0
