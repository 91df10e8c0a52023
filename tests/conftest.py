"""Set-up for all tests."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell started the run in the background; processes of the tests would ignore Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["pytester"]
