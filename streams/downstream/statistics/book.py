"""What is published of one partition's windows, and what is to be published next. Pure.

Place in the flow: the service feeds the two folds of a partition, asks for the revisions that are `due`, sends them,
and says `published` when the broker has confirmed them. Each half of a window, frames or parts, is taken from the fold
or from the newest revision published, whichever has read further. So a fold that was begun late in the log, or one that
has not yet come as far as its predecessor, never takes anything back. Knows no topic and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Protocol

from schemas.records import Estimate, LineWindow
from streams.downstream.statistics.counts import FrameCounts, PartCounts
from streams.downstream.statistics.past import StationPast
from streams.downstream.statistics.windows import (
    FrameFold,
    Key,
    PartFold,
    Station,
    WindowRule,
    from_ms,
    to_ms,
)

KEPT_S = 3600
"""Published windows of an idle partition are kept in memory for this long; older ones are read again when needed."""
FRAME_FIELDS = tuple(FrameCounts().fields())
PART_FIELDS = tuple(PartCounts().fields())
NO_FRAMES, NO_PARTS = FrameCounts(latency_counts=[]).fields(), PartCounts().fields()
ABOUT_REVISION = frozenset({"revision", "final", "through_offset", "through_part_offset", "escape", "overkill", "at"})
COUNTED = tuple(field.name for field in fields(LineWindow) if field.name not in ABOUT_REVISION)


class Looks(Protocol):
    """What people found, as estimates for a station's window; see `quality.py`."""

    def estimates(self, station: Station, end: datetime, past: StationPast) -> tuple[Estimate, Estimate]: ...


def same_counts(one: LineWindow, other: LineWindow) -> bool:
    """Whether two revisions say the same of a window, estimates left aside."""
    return all(getattr(one, name) == getattr(other, name) for name in COUNTED)


def key_of(window: LineWindow) -> Key:
    return (window.plant, window.line, window.station), to_ms(window.window_start) // window.width_ms


class PartitionBook:
    """One partition from its assignment to its revocation."""

    def __init__(self, partition: int, frames: FrameFold, parts: PartFold, looks: Looks) -> None:
        self.partition = partition
        self.frames = frames
        self.parts = parts
        self.rule: WindowRule = frames.rule
        self.past: dict[Station, StationPast] = {}
        self._looks = looks
        self._latest: dict[Key, LineWindow] = {}
        self._open: set[Key] = set()
        self._looked_at: set[Station] = set()
        self._known_from: int | None = None

    def reads_back_from(self) -> int | None:
        """The window from which on published revisions must be learnt before `due` is asked; None if all are known."""
        touched = min((number for _, number in self._touched()), default=None)
        return touched if touched is not None and (self._known_from is None or touched < self._known_from) else None

    def learn(self, windows: Iterable[LineWindow], known_from: int) -> None:
        """Revisions read from the topic, in its order: all there are of windows from number `known_from` on."""
        for window in windows:
            if window.width_ms == self.rule.width_ms and key_of(window)[1] >= known_from:
                self._remember(window)
        self._known_from = known_from if self._known_from is None else min(known_from, self._known_from)

    def look_again(self, station: Station) -> None:
        """People found something: the station's newest window is due with new estimates."""
        self._looked_at.add(station)

    def due(self, now: datetime, caught_up: tuple[bool, bool]) -> list[LineWindow]:
        """The revisions to publish now, oldest window first.

        `caught_up` says whether verdicts and parts have been read to their ends: then the wall clock counts beside the
        progress of the log, for a line, or a whole partition, that stands still. A wrong one makes a window final early
        or late; a frame that comes after all opens it again, and no count depends on the clock.
        """
        newest = {(station, max(self.past[station].numbers)) for station in self._looked_at if station in self.past}
        finished = {key for key in self._open if self._final(key[1], now, caught_up)}
        keys = self._touched() | finished | newest
        revisions = (self._revision(key, now, caught_up, key in newest) for key in sorted(keys, key=lambda k: k[::-1]))
        return [window for window in revisions if window is not None]

    def published(self, windows: Iterable[LineWindow], caught_up: tuple[bool, bool]) -> None:
        """The broker has confirmed all that was due."""
        for window in windows:
            self._remember(window)
        self.frames.forget_changes()
        self.parts.forget_changes()
        self._looked_at.clear()
        self._drop(caught_up)

    def _touched(self) -> set[Key]:
        return set(self.frames.changed | self.parts.changed)

    def _remember(self, window: LineWindow) -> None:
        key = key_of(window)
        if key in self._latest and self._latest[key].revision > window.revision:
            return
        self._latest[key] = window
        (self._open.discard if window.final else self._open.add)(key)
        self.past.setdefault(key[0], StationPast(self.rule.width_ms)).add(key[1], window)

    def _revision(self, key: Key, now: datetime, caught_up: tuple[bool, bool], new_looks: bool) -> LineWindow | None:
        """The next revision of a window, where it would say something new."""
        before = self._latest.get(key)
        after = self._merged(key, before, now, self._final(key[1], now, caught_up))
        if before is None:
            return after if after.frames or after.parts or after.reworked else None
        if same_counts(before, after):
            looks_differ = new_looks and (before.escape, before.overkill) != (after.escape, after.overkill)
            if not looks_differ and (before.final or not after.final):
                return None
            after = replace(after, final=before.final or after.final)
        return replace(after, revision=before.revision + 1)

    def _merged(self, key: Key, before: LineWindow | None, now: datetime, final: bool) -> LineWindow:
        (plant, line, station), number = key
        start_ms = number * self.rule.width_ms
        halves = self._frame_half(key, before) | self._part_half(key, before)
        window = LineWindow(
            plant=plant,
            line=line,
            station=station,
            window_start=from_ms(start_ms),
            width_ms=self.rule.width_ms,
            revision=0,
            final=final,
            partition=self.partition,
            at=now,
            **halves,
        )
        past = self.past.setdefault(key[0], StationPast(self.rule.width_ms))
        past.add(number, window)
        escape, overkill = self._looks.estimates(key[0], from_ms(start_ms + self.rule.width_ms), past)
        return replace(window, escape=escape, overkill=overkill)

    def _frame_half(self, key: Key, before: LineWindow | None) -> dict[str, Any]:
        counts = self.frames.windows.get(key)
        if counts and (before is None or counts.through_offset >= before.through_offset):
            return counts.fields()
        return {name: getattr(before, name) for name in FRAME_FIELDS} if before else NO_FRAMES

    def _part_half(self, key: Key, before: LineWindow | None) -> dict[str, Any]:
        counts = self.parts.windows.get(key)
        if counts and (before is None or counts.through_offset >= before.through_part_offset):
            return counts.fields()
        return {name: getattr(before, name) for name in PART_FIELDS} if before else NO_PARTS

    def _final(self, number: int, now: datetime, caught_up: tuple[bool, bool]) -> bool:
        past_by_clock = self.rule.settles_ms(number) <= to_ms(now)
        folds = ((self.frames, caught_up[0]), (self.parts, caught_up[1]))
        return all(fold.settled(number) or (read and past_by_clock) for fold, read in folds)

    def _drop(self, caught_up: tuple[bool, bool]) -> None:
        """Forget final windows in which nothing can be counted any more, and, of an idle partition, old ones."""
        newest = max((number for _, number in self._latest), default=0)
        kept_from = newest - KEPT_S * 1000 // self.rule.width_ms if all(caught_up) else None
        for key in [key for key in self._latest if key not in self._open]:
            settled = self.frames.settled(key[1]) and self.parts.settled(key[1])
            if settled or (kept_from is not None and key[1] < kept_from):
                del self._latest[key]
                if not settled and self._known_from is not None:
                    self._known_from = max(self._known_from, key[1] + 1)
