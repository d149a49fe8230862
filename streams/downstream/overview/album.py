"""Reads verdicts for galleries: backwards through the log, or the single ones that people decided about.

Place in the flow: between the overview and the log. The work for a page is bounded: a page may hold fewer pictures than
asked for, or none, and still have a cursor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from schemas.records import ReworkOutcome, VerdictIssued
from streams.bus.subscriber import FirstOnly, Received
from streams.downstream.overview.findings import Findings
from streams.downstream.overview.gallery import (
    frames_cursor,
    judged_cursor,
    meets,
    parse_frames_cursor,
    parse_judged_cursor,
    shown,
)
from streams.downstream.overview.log import Log
from streams.downstream.overview.rows import Station
from streams.downstream.overview.view import Choice, Page, Shown, Span
from streams.downstream.rework.cases import Scope
from streams.downstream.statistics.windows import to_ms
from streams.topics import VERDICTS

CHUNK = 100  # records read at once of a partition
LOOK_BACK = 50  # records before a chunk that may hold the first of a copy in it
MOST_READ = 10_000  # verdicts looked at for a page
MOST_LOOKUPS = 60  # single verdicts looked up for a page
LATEST = timedelta(hours=1)  # after its trigger that a decided frame's verdict is looked for


class Album:
    """Pages of one overview. `lateness` is how much later than its trigger a frame's verdict may come."""

    def __init__(self, log: Log, findings: Findings, lateness: timedelta) -> None:
        self._log = log
        self._findings = findings
        self._lateness = lateness

    async def frames(self, scope: Scope, span: Span, choice: Choice, cursor: str | None, limit: int) -> Page:
        """Verdicts by the time of their append, newest first. CallerError for a cursor that can't be."""
        stretch = await self._log.stretch(VERDICTS, span.start, span.end + self._lateness)
        if cursor is not None:
            ends = parse_frames_cursor(cursor)
            stretch = {p: (low, min(high, max(low, ends.get(p, low)))) for p, (low, high) in stretch.items()}
        items: list[Shown] = []
        backwards = Backwards(self._log, stretch)
        async for received in backwards:
            if meets(received, scope, span, choice):
                verdict = received.record
                station = (verdict.plant, verdict.line, verdict.station)
                items.append(shown(verdict, self._findings.finding(station, verdict.verdict_id)))
            if len(items) >= limit or backwards.read >= MOST_READ:
                break
        left = {p: end for p, end in backwards.ends.items() if end > stretch[p][0]}
        return Page(tuple(items), frames_cursor(left) if left else None)

    async def judged(
        self, scope: Scope, span: Span, choice: Choice, stations: frozenset[Station], cursor: str | None, limit: int
    ) -> Page:
        """Escapes or overkill by trigger, newest first. CallerError for a cursor that can't be."""
        found = self._findings.judged(stations, span, choice.what)
        if cursor is not None:
            after = parse_judged_cursor(cursor)
            found = [(p, outcome) for p, outcome in found if _place(outcome) < after]
        items: list[Shown] = []
        for count, (partition, outcome) in enumerate(found, 1):
            received = await self._verdict_of(outcome, partition)
            if received is not None and meets(received, scope, span, choice):
                items.append(shown(received.record, outcome))
            if count < len(found) and (len(items) >= limit or count >= MOST_LOOKUPS):
                return Page(tuple(items), judged_cursor(*_place(outcome)))
        return Page(tuple(items), None)

    async def _verdict_of(self, outcome: ReworkOutcome, partition: int) -> Received[VerdictIssued] | None:
        """The first verdict of this id; None where retention took it."""
        start = outcome.inspected_at
        stretch = await self._log.stretch(VERDICTS, start, start + LATEST, partition)
        low, high = stretch.get(partition, (0, 0))
        high = min(high, low + MOST_READ)
        while low < high:
            for received in await self._log.read(VERDICTS, partition, low, min(high, low + CHUNK)):
                if received.record.verdict_id == outcome.verdict_id:
                    return received
            low += CHUNK
        return None


class Backwards:
    """Verdicts of several partitions by append time, newest first, without later copies.

    `stretch` is where each partition begins and ends (exclusive). `ends` is what has not been handed out yet.
    """

    def __init__(self, log: Log, stretch: Mapping[int, tuple[int, int]]) -> None:
        self._log = log
        self._lows = {partition: low for partition, (low, _) in stretch.items()}
        self._unread = {partition: high for partition, (_, high) in stretch.items()}
        self._held: dict[int, list[Received[Any]]] = {partition: [] for partition in stretch}
        self.ends = dict(self._unread)
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[Received[VerdictIssued]]:
        while True:
            for partition in self._held:
                await self._fill(partition)
            held = [taken for taken in self._held.values() if taken]
            if not held:
                return
            newest = max(held, key=lambda taken: (taken[-1].timestamp, taken[-1].partition)).pop()
            self.ends[newest.partition] = newest.offset
            yield newest

    async def _fill(self, partition: int) -> None:
        """Reads chunks until there is something to hand out, or nothing is left."""
        while not self._held[partition] and self._unread[partition] > self._lows[partition]:
            high = self._unread[partition]
            low = self._unread[partition] = max(self._lows[partition], high - CHUNK)
            firsts = FirstOnly()
            for received in await self._log.read(VERDICTS, partition, max(0, low - LOOK_BACK), high):
                self.read += 1
                if not firsts.is_copy(received.record, received.offset) and received.offset >= low:
                    self._held[partition].append(received)
            if not self._held[partition]:
                self.ends[partition] = low


def _place(outcome: ReworkOutcome) -> tuple[int, Any]:
    return to_ms(outcome.inspected_at), outcome.verdict_id
