"""Runs the demo: bring a lab up, send one ping, verify step after step, take the lab down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vxlab.capture.pcapng import save
from vxlab.console import Progress, as_json
from vxlab.demo.evidence import DemoLab
from vxlab.demo.printing import Printer
from vxlab.demo.roles import Roles, choose_roles
from vxlab.demo.steps import STEPS, Step, StepFailed
from vxlab.errors import LabError, UsageError
from vxlab.lab.bringup import bring_up, ended_by_signals
from vxlab.lab.handle import Lab
from vxlab.system.directory import LabDirectory
from vxlab.system.files import check_writable
from vxlab.topology import registry
from vxlab.topology.overlay import OverlayTopo


def run_demo(topology: str, settings: dict[str, str], json_: bool, write: str | None) -> int:
    """Run the demo in a lab of its own; 0 if every step is verified, else 1.

    write: a pcapng file for all captured packets. UsageError, before anything starts, if it cannot
    be written, or if the topology has nothing to show.
    """
    topo = registry.build(topology, settings)
    roles = choose_roles(topo, topology)
    check_writable(write)
    progress = Progress("vxlab: starting the lab")
    directory = LabDirectory.named(f"demo-{os.getpid()}")
    failed = False
    with ended_by_signals():
        try:
            lab = _start(topology, topo, settings, directory.name, progress)
            return _run_in(lab, roles, json_, write)
        except _StartFailed as error:
            failed = True  # its directory stays, for the logs
            raise LabError(str(error)) from None
        finally:  # also if a signal came just after the lab was ready
            if not failed and directory.path.exists():
                Lab.at(directory).end()


class _StartFailed(Exception):
    """The lab did not start."""


def _start(
    topology: str, topo: OverlayTopo, settings: dict[str, str], name: str, progress: Progress
) -> Lab:
    try:
        return bring_up(topology, topo, settings, name, "held", progress)[0]
    except UsageError:
        raise
    except LabError as error:
        raise _StartFailed(str(error)) from None
    finally:
        progress.done()


def _run_in(lab: Lab, roles: Roles, json_: bool, write: str | None) -> int:
    demo, printer = DemoLab(lab, roles), Printer(quiet=json_)
    printer.introduce(lab, roles)
    try:
        results = _verify_all(demo, printer)
    finally:
        if write:
            _save(demo, write)
    verified = all(result["ok"] for result in results)
    if json_:
        as_json({"topology": lab.state["topology"], "ok": verified, "steps": results})
    else:
        printer.close(lab, results, write)
    return 0 if verified else 1


def _save(demo: DemoLab, write: str) -> None:
    try:
        save(Path(write), demo.seen)
    except OSError as error:
        raise LabError(f"{write}: {error.strerror}") from None


def _verify_all(demo: DemoLab, printer: Printer) -> list[dict[str, Any]]:
    """Verify the steps in turn, up to the first that fails."""
    results = []
    for number, step in enumerate(STEPS, start=1):
        if number == 2:
            _exchange(demo)
        results.append(_verify(demo, number, step, printer))
        if not results[-1]["ok"]:
            break
    return results


def _exchange(demo: DemoLab) -> None:
    """Send one ping with empty tables: it begins with the ARP exchange of steps 2 to 7.

    If it is not answered, the steps show where the packets stopped.
    """
    demo.ping_answerer(1)
    demo.settle()


def _verify(demo: DemoLab, number: int, step: Step, printer: Printer) -> dict[str, Any]:
    evidence: list[str] = []
    printer.begin(number, step.title)
    failure = None
    try:
        for line in step.verify(demo):
            evidence.append(line)
            printer.evidence(line)
    except (StepFailed, LabError) as error:
        failure = str(error)
        printer.failed(number, failure)
    return {
        "step": number,
        "title": step.title,
        "ok": failure is None,
        "evidence": evidence,
        "untrue": failure,
    }
