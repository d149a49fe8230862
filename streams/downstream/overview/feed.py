"""The overview at work: follows the topics, keeps the fold, and tells pages that something changed.

Place in the flow: one per dashboard process, over `fold.py`; any number of pages on top. Knows no page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.bus.subscriber import FirstOnly
from streams.downstream.overview.album import Album
from streams.downstream.overview.fold import Fold
from streams.downstream.overview.kafka_log import KafkaLog
from streams.downstream.overview.log import Log
from streams.downstream.overview.tiles import parse_plan
from streams.downstream.overview.uninspected import Uninspected
from streams.downstream.overview.view import Choice, Page, Span, View, What
from streams.downstream.rework.bus import Feed
from streams.downstream.rework.cases import Read, Scope
from streams.downstream.statistics.control_chart import import_costly
from streams.errors import LinesideError
from streams.settings import Settings
from streams.topics import ALARMS, DEFECTS, LINE_STATS, OUTCOMES, PARTS, RECIPES, SAMPLES, Topic

log = logging.getLogger(__name__)

HELD = timedelta(hours=24)
RECENT = timedelta(minutes=15)  # read before the start returns; the rest comes in behind it
MOST_WINDOWS = 500_000  # that are held; some 700 bytes each
PIECE = timedelta(hours=1)  # of older history, read at once
NOTIFY_S = 0.25  # between two words to listeners
GATHER_S = 0.06  # after the first change: statistics publish all their partitions in one go, and that is one change
WINDOWS_GATHER_MS = 50
EVENTS_GATHER_MS, EVENTS_WITHIN_S = 250, 1.0  # defects and parts wait for the windows that count them
WAITING_S = 2.0
RETRY_S = 1.0
TIDY_S = 600.0
MOST_PICTURES = 200  # a page
READ_AT_ONCE = 500  # records of older history; pages wait for so many


def utc_now() -> datetime:
    return datetime.now(UTC)


class Overview:
    """Views by scope and span, from records since `since` (24 hours back), for any number of pages.

    Use it as an async context manager, or start() and stop() it. `planned_parts_per_min` by line; None takes the
    settings'. CallerError for settings that can't be.
    """

    def __init__(
        self,
        settings: Settings,
        since: datetime | None = None,
        planned_parts_per_min: Mapping[str, float] | None = None,
        *,
        log: Log | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        planned = parse_plan(settings.planned_parts_per_min) if planned_parts_per_min is None else planned_parts_per_min
        now = clock()
        self._clock = clock
        self._since = since or now - HELD
        self._held_from = max(self._since, now - RECENT)
        self._keep = max(HELD, now - self._since)
        self._keep_open = timedelta(days=settings.rework_history_days)
        self._asked_from = now
        self._fold = Fold(planned, settings.window_s * 1000)
        self._cases_from = min(self._held_from, now - self._keep_open)
        self._log = log or KafkaLog(settings, self._held_from, self._cases_from)
        self._album = Album(self._log, self._fold.findings, timedelta(seconds=settings.lateness_s))
        self._loading = asyncio.Lock()
        self._listeners: dict[object, Callable[[], None]] = {}
        self._notice: asyncio.TimerHandle | None = None
        self._notified_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def version(self) -> int:
        """Rises when anything changed."""
        return self._fold.version

    @property
    def connected(self) -> bool:
        """Whether the broker answers; what is shown stays while it doesn't."""
        return self._log.connected

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """Where records go. Cases and parts may come in after the start."""
        return (
            self._feed(LINE_STATS, self._fold.window, gather_ms=WINDOWS_GATHER_MS),
            self._feed(RECIPES, self._fold.recipe),
            self._feed(ALARMS, self._fold.alarm),
            self._feed(DEFECTS, self._fold.defect, False, EVENTS_GATHER_MS, EVENTS_WITHIN_S),
            self._feed(SAMPLES, self._fold.sample, awaited=False),
            self._feed(OUTCOMES, self._fold.outcome, awaited=False),
            self._feed(PARTS, self._fold.part, False, EVENTS_GATHER_MS, EVENTS_WITHIN_S),
        )

    async def start(self) -> None:
        """Returns when the newest windows, recipes and alarms were read; older windows come in behind, newest first.

        Raises BrokerUnreachableError or CallerError where the topics can't be reached.
        """
        try:
            await self._log.start(self.feeds, self._changed)
        except BaseException:
            await self._log.stop()
            raise
        await asyncio.to_thread(import_costly)
        self._tasks = [
            asyncio.create_task(self._read_back(), name="overview reads what is older"),
            asyncio.create_task(self._watch_waiting(), name="overview asks what waits"),
            asyncio.create_task(self._tidy(), name="overview forgets what is long over"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._log.stop()
        if self._notice:
            self._notice.cancel()

    async def __aenter__(self) -> Overview:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` soon after a change, at most four times a second; returns what ends that."""
        token = object()
        self._listeners[token] = callback

        def end() -> None:
            self._listeners.pop(token, None)

        return end

    def view(self, scope: Scope, span: Span) -> View:
        """What a scope shows of a span, as far back as `ensure` made it. Cheap where nothing changed."""
        self._asked_from = min(self._asked_from, span.start)
        return self._fold.view(scope, span, self._clock())

    async def ensure(self, span: Span) -> None:
        """Reads older history where the span begins before what is held, back to MOST_WINDOWS windows.

        BrokerUnreachableError where the broker does not answer.
        """
        while self._lacks(span):
            async with self._loading:
                if self._lacks(span):  # others may have waited for the same
                    await self._load_piece(span.start)

    async def gallery(
        self, scope: Scope, span: Span, choice: Choice, cursor: str | None = None, limit: int = 24
    ) -> Page:
        """A page of pictures, newest first. It may hold fewer than `limit` and still have a cursor.

        CallerError for a cursor that can't be, BrokerUnreachableError where the broker does not answer.
        """
        limit = max(1, min(limit, MOST_PICTURES))
        span = replace(span, end=min(span.end, self._clock()))
        if choice.what is What.FRAMES:
            return await self._album.frames(scope, span, choice, cursor, limit)
        return await self._album.judged(scope, span, choice, self._fold.covered(scope), cursor, limit)

    def _feed(
        self,
        topic: Topic,
        take: Callable[[Read[Any]], None],
        awaited: bool = True,
        gather_ms: int = 0,
        within_s: float = GATHER_S,
    ) -> Feed:
        def taking(read: Read[Any]) -> None:
            before = self._fold.version
            take(read)
            if self._fold.version != before:
                self._changed(within_s)

        return Feed(topic, taking, awaited, gather_ms)

    def _lacks(self, span: Span) -> bool:
        return span.start < self._held_from and len(self._fold.windows) < MOST_WINDOWS

    async def _load_piece(self, wanted: datetime) -> None:
        """The newest piece of what is not held, all of it where no windows lie in it."""
        older = await self._log.stretch(LINE_STATS, wanted, self._held_from)
        there_is_more = any(low < high for low, high in older.values())
        start = max(wanted, self._held_from - PIECE) if there_is_more else wanted
        await self._load(start, self._held_from)
        self._held_from = start

    async def _load(self, start: datetime, end: datetime) -> None:
        """What was appended from `start` to `end`, which lies before all that was read."""
        older = Uninspected()
        cases_end = min(end, self._cases_from)
        takes: tuple[tuple[Topic, datetime, Callable[[Read[Any]], object]], ...] = (
            (LINE_STATS, end, self._fold.window),
            (PARTS, end, lambda read: older.take(read.record)),
            (DEFECTS, cases_end, self._fold.defect),
            (SAMPLES, cases_end, self._fold.sample),
            (OUTCOMES, cases_end, self._fold.outcome),
        )
        for topic, until, take in takes:
            for partition, offsets in (await self._log.stretch(topic, start, until)).items():
                await self._load_partition(topic, partition, offsets, take)
        self._cases_from = min(self._cases_from, start)
        self._fold.older_parts(older)
        self._changed()

    async def _load_partition(
        self, topic: Topic, partition: int, offsets: tuple[int, int], take: Callable[[Read[Any]], object]
    ) -> None:
        (low, high), firsts = offsets, FirstOnly()
        while low < high:
            for received in await self._log.read(topic, partition, low, min(high, low + READ_AT_ONCE)):
                if not firsts.is_copy(received.record, received.offset):
                    with suppress(ValueError, OverflowError):  # one bad record harms only itself
                        take(received)
            low += READ_AT_ONCE
            await asyncio.sleep(0)  # pages go on meanwhile

    async def _read_back(self) -> None:
        """Reads history back to `since`."""
        while self._held_from > self._since:
            try:
                await self.ensure(Span(self._since, self._held_from))
                return
            except LinesideError as error:
                log.warning("reading older windows again in %g s: %s", RETRY_S, error)
                await asyncio.sleep(RETRY_S)

    async def _watch_waiting(self) -> None:
        while True:
            before = self._fold.version
            try:
                self._fold.waiting(await self._log.waiting())
            except Exception as error:  # whatever it was, it is asked again
                log.warning("what waits for inspection can't be told: %s", error)
                self._fold.waiting(None)
            if self._fold.version != before:
                self._changed()
            await asyncio.sleep(WAITING_S)

    async def _tidy(self) -> None:
        """Forgets what is older than it was at the start, unless a page still shows it."""
        while True:
            self._asked_from = self._clock()
            await asyncio.sleep(TIDY_S)
            now = self._clock()
            before = now - self._keep
            if len(self._fold.windows) < MOST_WINDOWS:
                before = min(before, self._asked_from)
            async with self._loading:
                self._fold.forget(before, min(before, now - self._keep_open))
                self._held_from = max(self._held_from, before)
                self._cases_from = max(self._cases_from, before)

    def _changed(self, within_s: float = GATHER_S) -> None:
        if not self._listeners:
            return
        loop = asyncio.get_running_loop()
        at_s = max(loop.time() + within_s, self._notified_s + NOTIFY_S)
        if self._notice is None or at_s < self._notice.when():
            if self._notice is not None:
                self._notice.cancel()
            self._notice = loop.call_at(at_s, self._notify)

    def _notify(self) -> None:
        self._notice = None
        self._notified_s = asyncio.get_running_loop().time()
        for callback in tuple(self._listeners.values()):
            try:
                callback()
            except Exception:  # a broken page must not keep the others from hearing
                log.exception("a listener failed")
