"""Controller of the underlay switches: L2 learning, IGMP and MLD snooping over OpenFlow 1.3."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from .constants import (
    IGMP_PROXY_SOURCE,
    MLD_PROXY_SOURCE,
    OPENFLOW_PORT,
    QUERY_INTERVAL_S,
    QUERY_RESPONSE_S,
    UNSPECIFIED_IPV4,
)
from .control import ControlError, ControlSocket
from .framework import FRAMEWORKS, VARIABLE, FrameworkError
from .snooping import Settings

PREFIX = "VXLAB_CONTROLLER_"
SHORTEST_S, LONGEST_S = 0.1, 31744  # the longest interval that a QQIC can express (RFC 3376 4.1.7)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        if not 0 < int(port) < 65536:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be ADDRESS:PORT, for example 127.0.0.1:{OPENFLOW_PORT}"
        ) from None
    return host.strip("[]"), int(port)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not SHORTEST_S <= value <= LONGEST_S:
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be a number of seconds from {SHORTEST_S} to {LONGEST_S}"
        )
    return value


def _querier(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        address = None
    if address is None or address.is_multicast:
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be an IPv4 unicast address, or {UNSPECIFIED_IPV4} for none"
        )
    return str(address)


def _mld_querier(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        address = None
    # Hosts ignore queries that are not from a link-local address (RFC 3810 5.1.14).
    if address is None or not address.is_link_local:
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be an IPv6 link-local address, in fe80::/10"
        )
    return str(address)


def _framework(text: str) -> str:
    if text not in FRAMEWORKS:
        raise argparse.ArgumentTypeError(f"{text!r}: must be {' or '.join(FRAMEWORKS)}")
    return text


class _Option(NamedTuple):
    """An option of the command line, which an environment variable can set, too."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    text: str

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return PREFIX + self.attribute.upper()


_ANY_SECONDS = "seconds between general queries of IGMP and MLD"
OPTIONS = (
    _Option("listen", _address, f"127.0.0.1:{OPENFLOW_PORT}", "where switches connect"),
    _Option("control", str, None, "path of the control socket (default: none)"),
    _Option("framework", _framework, None, "ryu or os-ken (default: ryu if it can be imported)"),
    _Option("query-interval", _seconds, f"{QUERY_INTERVAL_S:g}", _ANY_SECONDS),
    _Option("query-response", _seconds, f"{QUERY_RESPONSE_S:g}", "seconds for hosts to answer"),
    _Option("ageing", _seconds, None, "seconds a membership lasts without a report (default: 260)"),
    _Option("querier-address", _querier, IGMP_PROXY_SOURCE, "source address of IGMP queries"),
    _Option("mld-querier-address", _mld_querier, MLD_PROXY_SOURCE, "source address of MLD queries"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage text, and exit with status 2."""
        self.exit(2, f"controller: {message}\n")


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options from the command line, else the environment, else the defaults.

    An empty variable counts as unset. A wrong value exits with status 2 and names its origin.
    """
    parser = _Parser(prog="python -m controller", description=__doc__)
    for option in OPTIONS:
        default = f" (default: {option.default})" if option.default else ""
        help_text = f"{option.text}{default} (${option.variable})"
        parser.add_argument(f"--{option.name}", type=option.parse, help=help_text)
    parsed = parser.parse_args(arguments)
    for option in OPTIONS:
        if getattr(parsed, option.attribute) is None:
            text = os.environ.get(option.variable) or option.default
            if text is None:
                continue
            try:
                setattr(parsed, option.attribute, option.parse(text))
            except argparse.ArgumentTypeError as error:
                parser.error(f"environment variable {option.variable}: {error}")
    return parsed


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings of snooping and querier."""
    return Settings(
        options.query_interval,
        options.query_response,
        options.ageing,
        options.querier_address,
        options.mld_querier_address,
    )


def _run(options: argparse.Namespace) -> int:
    os.environ[VARIABLE] = options.framework or ""
    app = import_module("controller.app")  # imports the framework, and patches sockets with it
    # The main thread waits on a socket: the interpreter writes the number of each signal to it, and
    # a failure of the worker writes 0. This works with threads and with eventlet's green threads.
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    host, port = options.listen
    try:
        running = app.start(host, port, settings_of(options), lambda: sender.send(b"\0"))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ControlError(f"cannot listen on {host}:{port}: {reason}") from error
    control = ControlSocket(options.control, running.commands()) if options.control else None
    if control is not None:
        threading.Thread(target=control.serve, daemon=True).start()
    used = (app.FRAMEWORK.name, app.FRAMEWORK_VERSION)
    logging.info("listening on %s:%d, framework %s %s", host, port, *used)
    signalled = receiver.recv(1)  # the number of the signal, or 0 after an internal error
    if control is not None:
        control.close()
    return 0 if signalled != b"\0" else 1


def main() -> int:
    """Run until SIGTERM or SIGINT.

    Returns 0 after a signal, 1 after a failure, 2 for a wrong option or a missing framework.
    """
    options = parse_options()
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
    for package in ("ryu", "os_ken", "eventlet", "OFPHandler", "ofp_event"):
        logging.getLogger(package).setLevel(logging.WARNING)
    try:
        return _run(options)
    except (ControlError, FrameworkError) as error:
        print(f"controller: {error}", file=sys.stderr)
        return 2 if isinstance(error, FrameworkError) else 1


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # threads of the framework never end; there is nothing left to save
