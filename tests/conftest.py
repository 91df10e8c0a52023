"""Set-up for all tests."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell started the run in the background; processes of the tests would ignore Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Started by nohup or by a CI runner that ignores it: commands in a terminal would, too.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest_plugins = ["pytester"]
