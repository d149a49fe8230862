"""How fast a replay goes: as fast as the engine, or as frames once came, at N times their pace."""

from __future__ import annotations

import asyncio
import time

from streams.replay.past import Past


class Pace:
    """`speed` 1.0 is real time, 10.0 ten times as fast; None never waits. The first frame starts the clock."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._started: tuple[float, float] | None = None  # seconds of append time, and of time.monotonic()

    async def wait(self, past: Past) -> None:
        """Returns when a frame's turn has come."""
        if self._speed is None:
            return
        appended_s, now_s = past.source.timestamp.timestamp(), time.monotonic()
        if self._started is None:
            self._started = (appended_s, now_s)
        first_appended_s, first_s = self._started
        await asyncio.sleep(max(0.0, first_s + (appended_s - first_appended_s) / self._speed - now_s))
