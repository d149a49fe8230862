"""When does a supervisor end a program that still runs? Pure; times in seconds of one monotonic clock.

Place in the flow: `children.py` asks each program how it is and tells `Patience`; what that answers, it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Sign(Enum):
    """What a program answered when it was asked."""

    WELL = auto()
    STUCK = auto()  # it says itself that only a new start helps
    SILENT = auto()  # its event loop does not answer, or nobody does


@dataclass(frozen=True, slots=True)
class PatienceLimits:
    """How long a start may take, and how long a program at work may be silent, in seconds."""

    start_s: float = 180.0
    silent_s: float = 20.0


class Patience:
    """With one process, from its start at `started_s` on."""

    def __init__(self, started_s: float, limits: PatienceLimits) -> None:
        self._started_s = started_s
        self._limits = limits
        self._well_s: float | None = None  # None: not yet at work

    def lost(self, now_s: float, is_ready: bool, sign: Sign) -> str:
        """Why it must be ended; empty as long as it may go on."""
        if not is_ready:
            slow = now_s - self._started_s > self._limits.start_s
            return f"it was not ready within {self._limits.start_s:.0f} s" if slow else ""
        if sign is Sign.WELL or self._well_s is None:
            self._well_s = now_s
        if sign is Sign.STUCK:
            return "something waits for it and it completes nothing"
        silent_s = now_s - self._well_s
        return f"it has not answered for {silent_s:.0f} s" if silent_s > self._limits.silent_s else ""
