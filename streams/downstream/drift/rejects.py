"""Rejects that stay away: none for long where some were usual. Pure.

A model that sees no defect any more, a light that hides them or a threshold set too high looks like a perfect line.
Whether none is chance: had the rate not changed, each of the R bouts of rejects among F frames would lie among the
later k with the same chance as anywhere, and all R among the first F with (F / (F + k)) ** R. Rejects come in bouts, by
bad lots: those of a minute count once. More rejects than usual are the run rules' affair.
"""

from __future__ import annotations

from datetime import datetime, timedelta

BOUT = timedelta(minutes=1)
CHANCE = 1e-5  # a run of frames without rejects; with a bout each ten minutes once in two years
LEAST_BOUTS = 5
REMEMBERED = 1000  # bouts; beyond, the older half counts half


class Rejects:
    """One camera and SKU. Times are append times, of frames that a model judged."""

    def __init__(self, quiet: timedelta) -> None:
        """`quiet`: without a reject for less time it is nothing."""
        self._quiet = quiet
        self.bouts = 0
        self.frames = 0  # until the last reject
        self.since = 0  # frames since
        self.last_at: datetime | None = None
        self._bout_at: datetime | None = None  # the first of the newest bout

    def take(self, is_reject: bool, at: datetime) -> None:
        self.since += 1
        if not is_reject:
            return
        if self._bout_at is None or at - self._bout_at >= BOUT:
            self.bouts, self._bout_at = self.bouts + 1, at
        self.frames, self.since, self.last_at = self.frames + self.since, 0, at
        if self.bouts > REMEMBERED:
            self.bouts, self.frames = self.bouts // 2, self.frames // 2

    @property
    def chance(self) -> float:
        """That so many frames without a reject are nothing but luck."""
        if not self.bouts:
            return 1.0
        return float((self.frames / (self.frames + self.since)) ** self.bouts)

    def are_missing(self, at: datetime) -> bool:
        if self.last_at is None or self.bouts < LEAST_BOUTS or at - self.last_at < self._quiet:
            return False
        return self.chance <= CHANCE

    @property
    def told(self) -> str:
        when = f"{self.last_at:%Y-%m-%d %H:%M} UTC" if self.last_at else "ever"
        return (
            f"no reject among {self.since} frames since {when}, usual {self.bouts} times in {self.frames}: "
            "does the model still see defects?"
        )
