"""Play the scene: bring a lab up, act, prove step after step, tear down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vxlab.capture.pcapng import save
from vxlab.console import Progress, as_json
from vxlab.demo.cast import capture, choose
from vxlab.demo.stage import Stage
from vxlab.demo.steps import STEPS, Step, Untrue
from vxlab.demo.tell import Teller
from vxlab.errors import LabError
from vxlab.lab.bringup import bring_up, ended_by_signals
from vxlab.lab.handle import Lab
from vxlab.topology import registry
from vxlab.topology.overlay import OverlayTopo


def play(topology: str, settings: dict[str, str], json_: bool, write: str | None) -> int:
    """Play the scene in a lab of its own; 0 if every step is true, else 1."""
    topo = registry.build(topology, settings)
    with ended_by_signals():
        lab = _bring_up(topology, topo, settings)
        try:
            return _play_in(lab, Teller(quiet=json_), json_, write)
        finally:
            lab.end()


def _bring_up(topology: str, topo: OverlayTopo, settings: dict[str, str]) -> Lab:
    progress = Progress("the lab comes up:")
    try:
        lab, _ = bring_up(topology, topo, settings, f"demo-{os.getpid()}", "held", progress)
    finally:
        progress.done()
    return lab


def _play_in(lab: Lab, teller: Teller, json_: bool, write: str | None) -> int:
    cast = choose(lab)
    stage = Stage(lab, cast, capture(lab, cast))
    teller.introduce(lab, cast)
    results = _prove_all(stage, teller)
    if write:
        save(Path(write), stage.seen)
    true = all(result["ok"] for result in results)
    if json_:
        as_json({"topology": lab.state["topology"], "ok": true, "steps": results})
    else:
        teller.close(lab, results, write)
    return 0 if true else 1


def _prove_all(stage: Stage, teller: Teller) -> list[dict[str, Any]]:
    """Prove the steps in turn, up to the first that is untrue."""
    results = []
    for number, step in enumerate(STEPS, start=1):
        if number == 2:
            _exchange(stage)
        results.append(_prove(stage, number, step, teller))
        if not results[-1]["ok"]:
            break
    return results


def _exchange(stage: Stage) -> None:
    """One ping from a cold start: the ARP exchange that steps 2 to 7 look at."""
    stage.ping(1)
    stage.settle()


def _prove(stage: Stage, number: int, step: Step, teller: Teller) -> dict[str, Any]:
    evidence: list[str] = []
    teller.begin(number, step.title)
    failure = None
    try:
        for line in step.prove(stage):
            evidence.append(line)
            teller.evidence(line)
    except (Untrue, LabError) as error:
        failure = str(error)
        teller.untrue(number, failure)
    return {
        "step": number,
        "title": step.title,
        "ok": failure is None,
        "evidence": evidence,
        "untrue": failure,
    }
