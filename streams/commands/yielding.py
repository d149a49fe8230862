"""Work that takes only what the line leaves over: the lowest priority that Linux gives a process without rights.

Linux shares processor time between sessions first and inside a session by priority after that, so the priority counts
against the rest of the machine only in a session of its own (sched(7), "The autogroup feature"). Where services run in
control groups of their own, their weights come first: give a replay's group CPUWeight=idle there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from types import FrameType

LOWEST = 19
PR_SET_PDEATHSIG = 1
_AUTOGROUP = Path("/proc/self/autogroup")


def yield_to_the_line() -> None:
    """From now on this process and its threads get what the machine's other programs leave over."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        os.nice(LOWEST)
    if _leads_its_session():  # else it would slow the caller's shell and what else was started there
        with contextlib.suppress(OSError):
            _AUTOGROUP.write_text(str(LOWEST))


def in_a_session_of_its_own() -> None:
    """Returns in a child that leads a new session; the caller's process hands signals on and ends as it ends.

    Nothing happens where sessions do not count or this process leads one already. To be called before any thread runs.
    A child whose parent is killed is killed.
    """
    if not _AUTOGROUP.exists() or _leads_its_session():
        return
    parent = os.getpid()
    if child := os.fork():
        os._exit(_ended_with(child))
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before that
        os._exit(1)


def _leads_its_session() -> bool:
    return os.getsid(0) == os.getpid()


def _ended_with(child: int) -> int:
    """Waits for the child and hands on what asks it to stop; its exit status, 128 + N for one that signal N ended."""

    def hand_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status
