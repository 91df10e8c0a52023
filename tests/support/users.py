"""Run scripts as an ordinary user, in tests that run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_nobody(
    script: str,
    base: Path,
    tun_mode: str = "666",
    cwd: Path | None = None,
    prepare: str = "true",
) -> subprocess.CompletedProcess[str]:
    """Run a shell script as user nobody, with a /dev/net/tun of the given mode.

    base: the directory of this user's labs, which must belong to it. prepare: a command that root
    runs before, in the same mount namespace.
    """
    user = pwd.getpwnam("nobody")
    command = (
        f"mount --make-rprivate / && {prepare} && mount -t tmpfs tmpfs /dev/net && "
        f"mknod -m {tun_mode} /dev/net/tun c 10 200 && "
        f"exec setpriv --reuid {user.pw_uid} --regid {user.pw_gid} --clear-groups "
        f"env VXLAB_BASE={base} HOME=/nonexistent sh -c '{script}'"
    )
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=cwd,
    )


def give_to_nobody(path: Path) -> None:
    """Make nobody the owner of a directory."""
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
