"""Start an agent from a configuration file, or report why it cannot start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vtep import config
from vtep.agent import Agent
from vtep.checks import ConfigError
from vtep.errors import StartError
from vtep.log import log


def launch(path: str, data_path: str | None = None) -> int:
    """Run one agent until it is stopped; returns the exit status.

    0: stopped. 1: the machine prevents it. 2: the file is invalid. data_path: overrides the file's.
    """
    try:
        parsed = config.parse(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        log(f"error: {path}: {error.strerror}")
        return 2
    except UnicodeDecodeError as error:
        log(f"error: {path}: invalid TOML: byte {error.start} is not UTF-8")
        return 2
    except ConfigError as error:
        log(f"error: {path}: {error}")
        return 2
    if data_path is not None:
        parsed = replace(parsed, data_path=data_path)
    try:
        agent = Agent(parsed)
    except StartError as error:
        log(f"error: {error}")
        return 1
    vnis = len(agent.core.segments.by_vni)
    log(f"{agent.name}: {vnis} VNIs over {parsed.underlay.interface} ({parsed.underlay.local})")
    log(f"{agent.name}: data path {agent.data_path.name}: {agent.data_path.reason}")
    agent.run()
    log(f"{agent.name}: stopped")
    return 0
