"""`python -m controller`: options, start, orderly end."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from importlib import import_module

from .control import ControlError, ControlSocket
from .protocols import IGMP, MLD
from .snooping import Settings

FRAMEWORKS = ("ryu", "os-ken")
PREFIX = "VXLAB_CONTROLLER_"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        if not 0 < int(port) < 65536:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: ADDRESS:PORT such as 127.0.0.1:6653") from None
    return host.strip("[]"), int(port)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.1 <= value <= 31744:
        raise argparse.ArgumentTypeError(f"{text!r}: seconds from 0.1 to 31744")
    return value


def _querier(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        address = ipaddress.IPv4Address("224.0.0.1")
    if address.is_multicast:
        raise argparse.ArgumentTypeError(
            f"{text!r}: an IPv4 unicast address, or {IGMP.unspecified}"
        )
    return str(address)


def _mld_querier(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        address = ipaddress.IPv6Address("::")
    if not address.is_link_local:  # RFC 3810 5.1.14: hosts answer no other
        raise argparse.ArgumentTypeError(f"{text!r}: an IPv6 link-local address, in fe80::/10")
    return str(address)


def _framework(text: str) -> str:
    if text not in FRAMEWORKS:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are {', '.join(FRAMEWORKS)}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m controller", description=__doc__)
    options = (
        ("listen", _address, "127.0.0.1:6653", "where switches connect to"),
        ("control", str, None, "Unix socket to answer questions at"),
        ("framework", _framework, "ryu", "ryu or os-ken"),
        ("query-interval", _seconds, "125", "seconds between general queries of IGMP and MLD"),
        ("query-response", _seconds, "10", "seconds in which hosts answer them"),
        ("ageing", _seconds, None, "seconds a membership lives without a report (default: 260)"),
        ("querier-address", _querier, IGMP.proxy_source, "source address of IGMP queries"),
        ("mld-querier-address", _mld_querier, MLD.proxy_source, "source address of MLD queries"),
    )
    for name, kind, default, text in options:
        variable = PREFIX + name.upper().replace("-", "_")
        value = os.environ.get(variable) or default
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} (${variable})")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        options.query_interval,
        options.query_response,
        options.ageing,
        options.querier_address,
        options.mld_querier_address,
    )


def _run(options: argparse.Namespace) -> int:
    os.environ[PREFIX + "FRAMEWORK"] = options.framework
    app = import_module("controller.app")  # imports the framework, and patches sockets with it
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    host, port = options.listen
    try:
        running = app.start(host, port, _settings(options), lambda: sender.send(b"\0"))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ControlError(f"cannot listen on {host}:{port}: {reason}") from error
    control = ControlSocket(options.control, running.commands()) if options.control else None
    if control is not None:
        threading.Thread(target=control.serve, daemon=True).start()
    logging.info("listening on %s:%d, framework %s", host, port, options.framework)
    signalled = receiver.recv(1)
    if control is not None:
        control.close()
    return 0 if signalled != b"\0" else 1


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 after those, 1 on trouble, 2 on wrong options."""
    options = _parser().parse_args()
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
    for package in ("ryu", "os_ken", "eventlet", "OFPHandler", "ofp_event"):
        logging.getLogger(package).setLevel(logging.WARNING)
    try:
        return _run(options)
    except ControlError as error:
        print(f"controller: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"controller: framework {options.framework}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # the framework's threads have no end of their own; nothing is left to save
