"""Selection of the OpenFlow framework: Ryu if it can be imported, os-ken otherwise.

Ryu is the framework that this controller was written for; os-ken is its maintained fork and has the
same API. The environment variable VXLAB_CONTROLLER_FRAMEWORK or `--framework` selects one of them
explicitly. Only this module and `app` depend on a framework, and neither imports one statically.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

VARIABLE = "VXLAB_CONTROLLER_FRAMEWORK"
HUB_VARIABLE = "OSKEN_HUB_TYPE"  # read by os-ken: `native` threads or `eventlet`

LOG = logging.getLogger("controller")


class FrameworkError(Exception):
    """No usable framework; the text is one line that says what to install."""


@dataclass(frozen=True)
class Framework:
    """A framework: `name` is also the name of its distribution on the package index."""

    name: str
    package: str
    app_class: str  # of the module base.app_manager
    installation: str  # what to do to have it

    def module(self, name: str) -> Any:
        """A module of the framework, named without the package."""
        return import_module(f"{self.package}.{name}")

    @property
    def version(self) -> str:
        """The installed version; `unknown` if it was not installed as a distribution."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return "unknown"


# Ryu 4.34 needs an old setuptools to build, which a single pip command cannot give it.
RYU = Framework("ryu", "ryu", "RyuApp", "make setup (in a checkout of vxlab)")
OS_KEN = Framework("os-ken", "os_ken", "OSKenApp", "pip install os-ken")
FRAMEWORKS = {each.name: each for each in (RYU, OS_KEN)}  # in order of preference

_MODULES = (
    "base.app_manager",
    "controller.controller",
    "controller.handler",
    "controller.ofp_event",
    "controller.ofp_handler",
    "lib.hub",
    "ofproto.ofproto_v1_3",
    "ofproto.ofproto_v1_3_parser",
)


def import_modules(framework: Framework) -> None:
    """Import all modules that `app` needs, with eventlet's green threads where they are used.

    Raises ImportError or AttributeError if the framework is missing or does not work here.
    """
    if find_spec(framework.package) is None:
        raise ModuleNotFoundError(f"No module named {framework.package!r}", name=framework.package)
    if framework is RYU or os.environ.get(HUB_VARIABLE) == "eventlet":
        _use_eventlet()
    for name in _MODULES:
        framework.module(name)


def _use_eventlet() -> None:
    """Replace sockets and threads of the standard library; must precede the framework's import."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
        eventlet = import_module("eventlet")
        wsgi = import_module("eventlet.wsgi")
    if not hasattr(wsgi, "ALREADY_HANDLED"):
        # Ryu 4.34 imports this name, which current versions of eventlet do not have. Only Ryu's
        # web server, which this controller does not use, needs its value.
        wsgi.ALREADY_HANDLED = b""  # type: ignore[attr-defined]
    eventlet.monkey_patch()
    # The patch cannot be undone. If Ryu's import fails after it, os-ken must use eventlet, too.
    os.environ[HUB_VARIABLE] = "eventlet"


def load(
    name: str | None, import_framework: Callable[[Framework], None] = import_modules
) -> Framework:
    """Import the framework of this name, or the first that works if `name` is None or empty.

    Raises FrameworkError if the name is unknown, or nothing could be imported.
    """
    if not name:
        return _first_that_works(import_framework)
    if name not in FRAMEWORKS:
        raise FrameworkError(f"framework {name!r}: must be {' or '.join(FRAMEWORKS)}")
    chosen = FRAMEWORKS[name]
    try:
        import_framework(chosen)
    except (ImportError, AttributeError) as error:
        raise FrameworkError(
            f"framework {name} was requested (--framework or {VARIABLE}), but this Python cannot"
            f" import it: {error}; install it with: {chosen.installation}, or unset the option"
        ) from error
    return chosen


def _first_that_works(import_framework: Callable[[Framework], None]) -> Framework:
    failures = []
    for framework in FRAMEWORKS.values():
        try:
            import_framework(framework)
        # An AttributeError comes from a framework that is older than its Python or its eventlet.
        except (ImportError, AttributeError) as error:
            failures.append(f"{framework.name}: {error}")
            is_missing = isinstance(error, ModuleNotFoundError) and error.name == framework.package
            if not is_missing:
                LOG.warning("%s is installed but cannot be imported: %s", framework.name, error)
            continue
        return framework
    raise FrameworkError(
        f"no OpenFlow framework can be imported ({'; '.join(failures)});"
        f" install one with: {OS_KEN.installation}"
    )
