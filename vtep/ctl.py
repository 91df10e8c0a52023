"""`python -m vtep.ctl`: talk to a running agent over its control socket."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from typing import Any

_VNI = ("--vni", {"type": int, "help": "only this VNI"})
_ALL_OF = {"action": "append", "dest": "remotes", "metavar": "ADDRESS"}
_TAGS = {"choices": ("strip", "carry"), "help": "strip or carry the VM's own 802.1Q tags"}
_COMMANDS: dict[str, tuple[str, list[tuple[str, dict[str, Any]]]]] = {
    "ready": ("ready", []),
    "fdb": ("fdb", [_VNI]),
    "groups": ("groups", []),
    "stats": ("stats", []),
    "events": (
        "events",
        [("--initial", {"action": "store_true", "help": "begin with the current state"})],
    ),
    "flush": ("flush", [_VNI, ("--mac", {"help": "only this MAC"})]),
    "vni add": (
        "vni_add",
        [
            ("vni", {"type": int}),
            ("group", {"nargs": "?", "help": "multicast group for floods; else give --remote"}),
            ("--remote", {**_ALL_OF, "help": "flood to this VTEP by unicast; repeatable"}),
            ("--vlan", {"type": int, "help": "VLAN of the port; default: untagged frames"}),
            ("--port", {"help": "interface; default: the only port"}),
            ("--inner-tags", _TAGS),
            (
                "--suppress-arp",
                {"action": "store_true", "help": "answer ARP for remote VMs"},
            ),
        ],
    ),
    "vni del": ("vni_del", [("vni", {"type": int})]),
    "static add": (
        "static_add",
        [
            ("vni", {"type": int}),
            *(("mac", {}), ("remote", {})),
            ("--add", {"action": "store_true", "help": "keep the MAC's other remotes"}),
        ],
    ),
    "static del": ("static_del", [("vni", {"type": int}), ("mac", {})]),
    "stop": ("stop", []),
}


def main(words: list[str] | None = None) -> int:
    """Send one request and print the answer as JSON; returns the exit status.

    0: done. 1: refused, or no agent answers. 2: usage error.
    """
    options = vars(_parser().parse_args(words))
    path, command = options.pop("socket"), options.pop("command")
    options.pop("word", None)
    if path is None:
        print("vtep.ctl: --socket PATH or $VXLAB_VTEP_SOCKET is required", file=sys.stderr)
        return 2
    given = {key: value for key, value in options.items() if value not in (None, False)}
    request = {"do": command, **given}
    try:
        return _request(path, request)
    except OSError as error:
        print(f"vtep.ctl: {path}: {error.strerror}; is the agent running?", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vtep.ctl", description=__doc__)
    parser.add_argument("--socket", metavar="PATH", default=os.environ.get("VXLAB_VTEP_SOCKET"))
    parser.add_argument(
        "--json",
        action="store_const",
        const=None,
        help="accepted and ignored: answers are always JSON",
    )
    words = parser.add_subparsers(dest="word", required=True)
    groups: dict[str, Any] = {}
    for phrase, (command, arguments) in _COMMANDS.items():
        first, _, second = phrase.partition(" ")
        if second:
            if first not in groups:
                branch = words.add_parser(first)
                groups[first] = branch.add_subparsers(dest="word", required=True)
            leaf = groups[first].add_parser(second)
        else:
            leaf = words.add_parser(first)
        leaf.set_defaults(command=command)
        for name, details in arguments:
            leaf.add_argument(name, **details)
    return parser


def _request(path: str, request: dict[str, Any]) -> int:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        with peer.makefile("rw", encoding="utf-8") as lines:
            lines.write(json.dumps(request) + "\n")
            lines.flush()
            answer = json.loads(lines.readline() or '{"ok": false, "error": "closed"}')
            if not answer["ok"]:
                print(f"vtep.ctl: {answer['error']}", file=sys.stderr)
                return 1
            if request["do"] != "events":
                print(json.dumps(answer["result"], indent=1))
                return 0
            for line in lines:
                print(line, end="", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
