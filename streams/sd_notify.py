"""Tells systemd that the program is ready, and that it is still to be trusted: one datagram each (sd_notify(3)).

Place in the flow: `cli_options.announcer` says READY, `monitor.py` feeds the watchdog. Does nothing where the program
was not started by systemd with Type=notify. NOTIFY_SOCKET and WATCHDOG_USEC are systemd's, so they are read here.
"""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> bool:
    """Send such as `READY=1` or `WATCHDOG=1`; False where nobody asked for it or nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # Linux's abstract names
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.connect(address)
        out.sendall(state.encode())
        return True
    return False


def watchdog_every_s() -> float | None:
    """How often systemd shall hear of us, in seconds: half of its WatchdogSec, as advised; None where it asks not."""
    text, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not text.isdigit() or int(text) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(text) / 2e6
