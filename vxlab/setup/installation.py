"""How this copy of vxlab was installed, and the commands that complete it.

In a checkout `make setup` installs everything. After `pip install` there is no checkout, so
distribution packages are installed with apt-get, and Python packages with this environment's pip.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

MAKE_SETUP = "make setup"
FAST_PATH_PACKAGES = ("clang", "libbpf-dev")
_ROOT = Path(__file__).resolve().parents[2]


def in_checkout() -> bool:
    """Whether the running code is in a checkout, where `make setup` works."""
    return (_ROOT / "Makefile").is_file() and (_ROOT / "pyproject.toml").is_file()


def apt_install(packages: Iterable[str]) -> str:
    """The command that installs distribution packages."""
    names = " ".join(sorted(set(packages)))
    return f"sudo apt-get install -y --no-install-recommends {names}"


def pip_install(*arguments: str) -> str:
    """The command that installs Python packages into this environment."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def install_packages(packages: Iterable[str]) -> str:
    """The command that installs distribution packages here."""
    return MAKE_SETUP if in_checkout() else apt_install(packages)


def install_modules(*names: str) -> str:
    """The command that installs Python packages here."""
    return MAKE_SETUP if in_checkout() else pip_install(*names)


def demo_as_root() -> str:
    """The command that shows the demo as root, with the environment that runs now."""
    return shlex.join(["sudo", sys.executable, "-m", "vxlab", "demo"])


def install_fast_path() -> str:
    """The command that compiles the eBPF program here: it is compiled on installation."""
    if in_checkout():
        return MAKE_SETUP
    again = pip_install("--force-reinstall", "--no-deps", installed_from())
    return f"{apt_install(FAST_PATH_PACKAGES)} && {again}"


def installed_from() -> str:
    """What was given to `pip install`, from PEP 610's record; the name where unknown."""
    try:
        text = metadata.distribution("vxlab").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        return "vxlab"
    url = str(json.loads(text)["url"])
    return unquote(urlsplit(url).path) if url.startswith("file:") else url
