"""Is a program alive, and does it progress? Folds what it says of itself; `/alive` and `/progressing` are read from it.

Place in the flow: `monitor.py` looks at the program's work from its event loop and asks from other threads. Pure: the
time comes as an argument, in seconds of one monotonic clock. Knows no server, no process and no Kafka.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALIVE_WITHIN_S = 5.0  # an event loop that answers later than this is not alive


@dataclass(frozen=True, slots=True)
class Work:
    """What a program has to do, as it says at one look."""

    lag: int = 0  # pieces that wait for it and were not taken
    in_flight: int = 0  # taken and not done
    completed: int = 0  # rises with every piece done
    is_connected: bool = True  # False: Kafka does not answer it


@dataclass(frozen=True, slots=True)
class Limits:
    """How long nothing may be completed while something waits: then it does not progress, then it is stuck."""

    progress_within_s: float = 20.0
    stall_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_good` becomes HTTP's 200 or 503; `body` its JSON."""

    is_good: bool
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Seen:
    at_s: float
    progress_s: float  # when something was completed, or nothing waited
    work: Work


class Health:
    """One program from `started_s` on. One thread looks; any thread may ask."""

    def __init__(self, program: str, version: str, started_s: float, limits: Limits | None = None) -> None:
        self._program = program
        self._version = version
        self._started_s = started_s
        self._limits = limits or Limits()
        self._seen = _Seen(started_s, started_s, Work())

    def look(self, now_s: float, work: Work) -> None:
        """The event loop is at work and has this to do."""
        before = self._seen
        waits = work.lag > 0 or work.in_flight > 0
        progressed = not waits or work.completed != before.work.completed
        self._seen = _Seen(now_s, now_s if progressed else before.progress_s, work)

    def is_alive(self, now_s: float) -> bool:
        return now_s - self._seen.at_s <= ALIVE_WITHIN_S

    def is_stuck(self, now_s: float) -> bool:
        """Something waits and nothing was completed for so long that only a new start helps."""
        return now_s - self._seen.progress_s > self._limits.stall_timeout_s

    def is_trusted(self, now_s: float) -> bool:
        """Whether a supervisor shall let it run on. Kafka's silence alone is no reason: a new start would not help."""
        return self.is_alive(now_s) and not self.is_stuck(now_s)

    def alive(self, now_s: float) -> Answer:
        """Whether the event loop answers."""
        silent_s = now_s - self._seen.at_s
        why = "" if self.is_alive(now_s) else f"the event loop has not answered for {silent_s:.0f} s"
        return self._answer(now_s, why)

    def progressing(self, now_s: float) -> Answer:
        """Whether nothing waits, or something was completed a short while ago; never with a silent event loop."""
        seen = self._seen
        since_s = now_s - seen.progress_s
        if not self.is_alive(now_s):
            return self.alive(now_s)
        if not seen.work.is_connected:
            return self._answer(now_s, "Kafka does not answer")
        if since_s <= self._limits.progress_within_s:
            return self._answer(now_s, "")
        waiting = f"{seen.work.lag} events wait, {seen.work.in_flight} are under way"
        return self._answer(now_s, f"{waiting}, nothing was completed for {since_s:.0f} s")

    def _answer(self, now_s: float, why: str) -> Answer:
        seen = self._seen
        body: dict[str, object] = {
            "program": self._program,
            "version": self._version,
            "uptime_s": round(now_s - self._started_s, 1),
            "lag": seen.work.lag,
            "in_flight": seen.work.in_flight,
            "last_progress_s": round(now_s - seen.progress_s, 1),
            "stuck": self.is_stuck(now_s),
        }
        return Answer(not why, body | ({"why": why} if why else {}))
