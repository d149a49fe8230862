"""Freezing a process: the signal is sent at once, the threads stop when the scheduler comes to them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

WITHIN_S = 10.0


def freeze(pid: int) -> None:
    """Sends SIGSTOP and returns when every thread of process `pid` has stopped."""
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + WITHIN_S
    while not all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < end, f"process {pid} has not stopped within {WITHIN_S:.0f} s"
        time.sleep(0.001)


def _state(task: Path) -> str:
    """The letter after the command's name of proc(5)'s stat, which may hold brackets and blanks itself."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
